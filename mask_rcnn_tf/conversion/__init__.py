"""Annotations of other tools to COCO files and back, and a COCO file split by images. A format a file.

A reader makes `labelled.LabelledData` of a folder or a file, a writer makes files of it; `formats` has the list.
"""
