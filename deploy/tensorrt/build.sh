#!/bin/sh
# Builds a TensorRT engine with trtexec from an ONNX file that was exported on a canvas.
#
#   deploy/tensorrt/build.sh model.onnx model.plan 800 1344 [usual batch] [largest batch] [more flags of trtexec]
#
# Height and width are those of the canvas. Without --fp16 the engine computes in float32; --noTF32 keeps NVIDIA's
# shortened products (10 bits of mantissa) out of it, which are coarser than our tolerance of scores.
set -eu
if [ $# -lt 4 ]; then
  echo "usage: $0 MODEL.onnx ENGINE.plan HEIGHT WIDTH [USUAL_BATCH] [LARGEST_BATCH] [TRTEXEC_FLAGS...]" >&2
  exit 2
fi
model=$1 engine=$2 height=$3 width=$4
shift 4
usual=1 largest=4
case ${1:-} in [0-9]*) usual=$1; largest=$1; shift ;; esac
case ${1:-} in [0-9]*) largest=$1; shift ;; esac

shapes() {
  echo "image:${1}x${height}x${width}x3,image_shape:${1}x2,original_shape:${1}x2"
}

exec trtexec --onnx="$model" --saveEngine="$engine" --noTF32 \
  --minShapes="$(shapes 1)" --optShapes="$(shapes "$usual")" --maxShapes="$(shapes "$largest")" "$@"
