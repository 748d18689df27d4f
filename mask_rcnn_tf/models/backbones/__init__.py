"""From an image to feature maps. Every backbone says in `spec` what it gives: {level: (stride, channels)}."""
