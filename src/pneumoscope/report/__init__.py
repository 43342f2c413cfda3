"""Results for people: figures, one-file HTML, model cards."""
