
"use strict";
for (const slider of document.querySelectorAll(".slider")) {
  const range = slider.querySelector("input");
  const heat = slider.closest("figure").querySelector(".heat");
  slider.hidden = false;
  const show = () => {
    heat.style.opacity = range.value / 100;
    slider.querySelector("output").textContent = range.value + " %";
  };
  range.addEventListener("input", show);
  show(); // a browser may bring back an earlier position
}
