def _move_up(heap, at):
    while at:
        parent = (at - 1) // 2
        if not heap[at] < heap[parent]:
            return
        heap[at], heap[parent] = heap[parent], heap[at]
        at = parent


def _move_down(heap, at):
    size = len(heap)
    while True:
        least = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < size and heap[child] < heap[least]:
                least = child
        if least == at:
            return
        heap[at], heap[least] = heap[least], heap[at]
        at = least


def heappush(heap, item):
    heap.append(item)
    _move_up(heap, len(heap) - 1)


def heappop(heap):
    last = heap.pop()
    if not heap:
        return last
    first, heap[0] = heap[0], last
    _move_down(heap, 0)
    return first


def heapify(heap):
    for at in range(len(heap) // 2 - 1, -1, -1):
        _move_down(heap, at)


def heapreplace(heap, item):
    first, heap[0] = heap[0], item
    _move_down(heap, 0)
    return first


def heappushpop(heap, item):
    return heapreplace(heap, item) if heap and heap[0] < item else item


def nlargest(n, iterable, key=None):
    return sorted(iterable, key=key, reverse=True)[: max(n, 0)]


def nsmallest(n, iterable, key=None):
    return sorted(iterable, key=key)[: max(n, 0)]


def merge(*iterables, key=None, reverse=False):
    return iter(sorted([each for iterable in iterables for each in iterable], key=key, reverse=reverse))
