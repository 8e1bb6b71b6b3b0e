"""`mtmc run camera-worker`."""

from __future__ import annotations

import threading

import cv2

from services.camera_worker.gpu_lease import GpuChoice
from services.camera_worker.worker import CameraWorker
from shared.process import ServiceOptions, serve
from vision.video.allocation import keep_freed_memory


def main(options: ServiceOptions, stop: threading.Event) -> None:
    """Runs a camera worker until `stop` is set.

    Raises:
        MtmcError: something that the user must fix.
    """
    # The networks and the decoders have their own threads; OpenCV's would only compete with them for the cores.
    cv2.setNumThreads(1)
    keep_freed_memory()
    gpu = GpuChoice()  # for the life of this process, also when it restarts with a new revision of the site
    serve("camera-worker", options, lambda connected, chosen: CameraWorker(connected, chosen, gpu), stop)
