"""Networks: backbones, where their weights come from, and heads."""
