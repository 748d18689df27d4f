# Training, scoring and exporting:  docker build -t mask_rcnn_tf .
#   docker run --rm -v "$PWD":/data mask_rcnn_tf train --config mask_rcnn_small --model_dir /data/runs/mine ...
# With an NVIDIA GPU:  docker build --build-arg EXTRA=gpu -t mask_rcnn_tf:gpu .  and  docker run --gpus all ...
# Serving is TensorFlow Serving's own image on an export: deploy/tf_serving/compose.yaml.
FROM python:3.12-slim
ARG EXTRA=cpu
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY mask_rcnn_client mask_rcnn_client
COPY mask_rcnn_tf mask_rcnn_tf
COPY configs configs
COPY tools tools
RUN pip install --no-cache-dir ".[${EXTRA},export,geo,lvis]"
WORKDIR /data
# What is prepared of a data set lies beside the data, not in the container.
ENV TFDS_DATA_DIR=/data/.tfds TF_CPP_MIN_LOG_LEVEL=2
ENTRYPOINT ["mrcnn"]
CMD ["help"]
