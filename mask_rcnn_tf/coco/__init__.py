"""The COCO format: reading a file, judging one annotation, run lengths, results. Whoever reads COCO does it here."""
