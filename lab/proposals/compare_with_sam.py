"""Seconds of proposals with nano and of SAM's own mask generation with random ViT-B weights, in one run.

``python lab/proposals/compare_with_sam.py PHOTO``: the photo at 1920 x 1080, two threads. SAM's encoder is run once,
its decoder on 64 of the generator's 1,024 points; the rest is scaled, and its filters, non-maximum suppression and run
lengths, which random masks would distort, are left out: SAM's figure is a lower bound.
"""

import sys
import time

import cv2
import torch
from transformers import SamConfig, SamModel

import segue
from segue.session.proposals import propose

POINTS, ASKED = 32 * 32, 64

torch.set_num_threads(2)
image = cv2.resize(segue.read_image(sys.argv[1]), (1920, 1080))
nano = segue.load("nano")
propose(nano, image[:64, :64].copy())
began = time.perf_counter()
cpu = time.process_time()
found = propose(nano, image)
own, own_cpu = time.perf_counter() - began, time.process_time() - cpu
sam = SamModel(SamConfig()).eval()
with torch.inference_mode():
    began = time.perf_counter()
    embedding = sam.get_image_embeddings(torch.zeros(1, 3, 1024, 1024))
    encoding = time.perf_counter() - began
    points = torch.rand(1, ASKED, 1, 2) * 1024
    began = time.perf_counter()
    sam(image_embeddings=embedding, input_points=points, input_labels=torch.ones(1, ASKED, 1, dtype=torch.int))
    decoding = (time.perf_counter() - began) * POINTS / ASKED
print(f"nano {own:.2f} s ({own_cpu:.2f} s of CPU time), {len(found)} proposals")
ratio = (encoding + decoding) / own
print(f"SAM ViT-B {encoding:.2f} s + {decoding:.2f} s scaled from {ASKED} points, ratio {ratio:.1f}")
