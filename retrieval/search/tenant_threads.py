"""A thread pool that serves tenants in turn."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class TenantThreadPool(Generic[T]):
    """A thread pool. A free thread runs the oldest task of the tenant that has waited longest."""

    def __init__(self, thread_count: int, *, name: str) -> None:
        self._threads = ThreadPoolExecutor(thread_count, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._queues: OrderedDict[str, deque[tuple[Future[T], Callable[[], T]]]] = OrderedDict()

    def submit_task(self, tenant_id: str, task: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            self._queues.setdefault(tenant_id, deque()).append((future, task))
        self._threads.submit(self._run_next_task)
        return future

    def close(self) -> None:
        """Wait for running tasks, and cancel all waiting tasks."""
        with self._lock:
            for queue in self._queues.values():
                for future, _ in queue:
                    future.cancel()
        self._threads.shutdown()

    def _run_next_task(self) -> None:
        future, work = self._take_next_task()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the future raises it in the caller
            future.set_exception(error)

    def _take_next_task(self) -> tuple[Future[T], Callable[[], T]]:
        """Remove the next task from the queue and return it.

        There is always a task, because each submission causes exactly one call.
        """
        with self._lock:
            tenant_id, queue = next(iter(self._queues.items()))
            work = queue.popleft()
            # guard: reranker-turns
            self._queues.move_to_end(tenant_id)
            if not queue:
                del self._queues[tenant_id]
        return work
