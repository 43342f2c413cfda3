"""pneumoscope: screens chest X-rays and chest CT for COVID-19, and says how far the answer can be trusted."""

__version__ = "0.1.0"
