"""How a process that served ends."""

import subprocess
import sys

# A thread that is in C++ most of the time, as those of the encoder are.
_COMPUTING = """
import threading, time
import numpy as np, openvino as ov, openvino.opset13 as op
from api.cli.serving import exit_process
x = op.parameter([512, 512], np.float32)
model = ov.Model([op.result(op.matmul(x, x, False, False))], [x], "squared")
queue = ov.AsyncInferQueue(ov.Core().compile_model(model, "CPU"))
queue.set_callback(lambda request, _: request.get_output_tensor().data.sum())
ones = np.ones((512, 512), np.float32)
def compute():
    while True:
        queue.start_async([ones])
threading.Thread(target=compute, daemon=True).start()
time.sleep(0.3)
print("closed")
exit_process()
"""


def test_a_process_in_which_an_inference_goes_on_ends_well() -> None:
    ended = subprocess.run([sys.executable, "-c", _COMPUTING], capture_output=True, text=True, check=False, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "closed\n"), ended.stderr
