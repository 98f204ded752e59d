"""Layouts of large memories over the devices of a mesh, for `keras.distribution`."""

from typing import Any

import keras

from keras_dnc.backend.shards import SLOTS


def memory_layout(
    device_mesh: Any, axis: str = "model"
) -> keras.distribution.LayoutMap:
    """Return a layout that distributes the slots of large memories over devices.

    With it, each device holds an equal part of

    - the slots of the memory of `SAMCell` and `SDNCCell`, in `MemoryRNN`: memory,
      norms, times of access, hash tables, links, and the gradient of the memory. Each
      device searches its own slots; the best ones of all devices are compared, and
      only their rows and scores are exchanged;
    - the values of each `ProductKeyMemory` whose name contains `product_key_memory`, as
      the default name does. Add others by name:
      `layout_map[r".*knowledge/values"] = ("model", None)`.

    All other weights are on every device, unless entries are added to the layout. The
    number of slots must be a multiple of the number of devices along `axis`; tables of
    another size, and those with fewer than 256 slots per device, are on every device.
    Keras distributes on JAX only.

    Args:
        device_mesh: `keras.distribution.DeviceMesh`.
        axis: Name of the axis of the mesh over which slots are distributed. Defaults to
            `"model"`.

    Returns:
        `keras.distribution.LayoutMap`, for `keras.distribution.ModelParallel`.

    Raises:
        ValueError: If `device_mesh` is not a mesh, or has no axis of this name.

    Example:
        >>> devices = keras.distribution.list_devices()[:1]
        >>> mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], devices)
        >>> layout_map = memory_layout(mesh)
        >>> layout_map["product_key_memory/values"].axes
        ('model', None)
        >>> distribution = keras.distribution.ModelParallel(layout_map=layout_map)
    """
    if not isinstance(device_mesh, keras.distribution.DeviceMesh):
        raise ValueError(
            "Argument `device_mesh` must be a `keras.distribution.DeviceMesh`. "
            f"Received: device_mesh={device_mesh!r}"
        )
    if axis not in device_mesh.axis_names:
        raise ValueError(
            "Argument `axis` must be the name of an axis of the mesh, one of "
            f"{device_mesh.axis_names}. Received: axis={axis!r}"
        )
    layout_map = keras.distribution.LayoutMap(device_mesh)
    layout_map[SLOTS] = (axis,)
    layout_map[r".*product_key_memory[^/]*/values"] = (axis, None)
    return layout_map
