"""What is said of each RoI. A file has one head: its layers, targets, loss and outputs."""
