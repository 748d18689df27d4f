"""Datasets and the tf.data pipeline."""
