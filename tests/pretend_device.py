"""A pretend accelerator: tensors that say they are on a CUDA device, computed on the processor, and as strict as CUDA.

    with pretend_accelerator(n_devices=2) as machine:
        MFA(5, 2, device="cuda:1").fit(X)
    machine.waits  # what made the processor wait for the device, and how often

Inside the block `torch.cuda` says that there are devices. A tensor on one of them wraps a tensor of the processor, as
torch describes it for wrapper subclasses: every operation reaches `DeviceTensor.__torch_dispatch__`, below autograd,
where the devices of its operands are compared before it is made on what they wrap. What moves tensors between devices,
or makes new ones there, is replaced as long as the block lasts, in all threads. (A mode of torch would hold for one
thread, and not inside functions that torch has written in Python. A backend of one's own is registered once per
process, and for good.) After the block all is as before.

Torch's own code below Python takes the tensors for the processor's. So what is tested is that a library keeps its
tensors together and takes the paths it has for CUDA, not the kernels of CUDA; of their rounding only that of products
to TF32, where torch is set to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest import mock

import torch
from pretend_rules import INDEXING, as_multiplied, common_place, tensors_in
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function
from torch.utils._device import _device_constructors
from torch.utils._mode_utils import no_dispatch

CPU = torch.device("cpu")
# What a generator of a device draws is not what one of the processor draws from the same seed.
_OTHER_DRAWS = 0x5EED
# Operations that the processor waits for, because it needs a number or a size.
_WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::masked_select", "aten::_unique2"}


class Machine:
    """Devices of a pretend machine, and what was asked of them.

    Attributes
    ----------
    calls : Counter
        Operations made on the devices, by name.
    waits : Counter
        Among them, and among the copies to the processor ("to cpu"), those that the processor has to wait for.
    """

    def __init__(self, n_devices: int) -> None:
        self.n_devices = n_devices
        self.calls: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def place(self, device: Any) -> torch.device:
        """The device that is meant, with its number; the first where none is named."""
        device = torch.device(device)
        if device.type != "cuda":
            return device
        if (device.index or 0) >= self.n_devices:
            raise RuntimeError(f"CUDA error: invalid device ordinal {device.index}; there are {self.n_devices}")
        return torch.device("cuda", device.index or 0)


_machine: Machine | None = None


def _now() -> Machine:
    if _machine is None:
        raise RuntimeError("a tensor of a pretend device was used outside of pretend_accelerator()")
    return _machine


class DeviceTensor(torch.Tensor):
    """A tensor on a pretend device."""

    held: Tensor
    place: torch.device

    @staticmethod
    def __new__(cls, held: Tensor, place: torch.device) -> DeviceTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=CPU,
        )
        made.held, made.place = held, place
        return made

    device = property(lambda self: self.place)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def get_device(self) -> int:
        return self.place.index

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        return _to(self, CPU)

    def tolist(self) -> Any:
        return _to(self.detach(), CPU).tolist()

    def _refuse_numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"can't convert {self.place} device type tensor to numpy. Use Tensor.cpu() to copy it first.")

    numpy = __array__ = _refuse_numpy

    def _refuse_memory(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"the memory of a tensor on {self.place} is not the processor's")

    pin_memory = data_ptr = untyped_storage = storage = share_memory_ = __dlpack__ = _refuse_memory

    def __repr__(self, **kwargs: Any) -> str:
        return f"{self.held!r} on {self.place}"

    # What `torch.nn.Module.to` asks of a subclass before it takes it for a parameter.
    def __tensor_flatten__(self) -> tuple[list[str], torch.device]:
        return ["held"], self.place

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], place: torch.device, size: Any, stride: Any) -> DeviceTensor:
        return DeviceTensor(inner["held"], place)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, written = func._schema.name, _written(func, args, kwargs)
        place = common_place(func, args, kwargs, written)
        _count(name, args)
        # Moves are made elsewhere: a device here is where the operands are.
        plain = {key: CPU if key == "device" else _plain(value) for key, value in kwargs.items()}
        found = func(*as_multiplied(name, _plain(args)), **plain)
        for tensor in written:
            _follow(tensor)
        return _wrapped(found, place, {id(_plain(t)): t for t in written})


def _plain(value: Any) -> Any:
    """What tensors of a device wrap, in an argument or a sequence of them."""
    if isinstance(value, DeviceTensor):
        return value.held
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _wrapped(value: Any, place: torch.device, known: dict[int, Tensor]) -> Any:
    """Tensors of the processor put on a device; those that are `known` are written to, and were there before."""
    if isinstance(value, Tensor):
        return known[id(value)] if id(value) in known else DeviceTensor(value, place)
    return type(value)(_wrapped(one, place, known) for one in value) if type(value) in (list, tuple) else value


@cache
def _places_written(func: Any) -> list[tuple[int, str]]:
    """Number and name of the arguments that an operation writes to."""
    arguments = enumerate(func._schema.arguments)
    return [(n, a.name) for n, a in arguments if a.alias_info is not None and a.alias_info.is_write]


def _count(name: str, args: Any) -> None:
    machine = _now()
    machine.calls[name] += 1
    masks = name in INDEXING and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1])
    if name in _WAITS or masks:
        machine.waits[name] += 1


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors that an operation writes to."""
    given = (args[n] if n < len(args) else kwargs.get(name) for n, name in _places_written(func))
    return list(tensors_in(*given))


def _follow(tensor: Tensor) -> None:
    """Give a wrapper the shape that an operation in place, or into `out`, has given to what it wraps."""
    if not isinstance(tensor, DeviceTensor):
        return
    held = tensor.held
    if tensor.shape == held.shape and tensor.stride() == held.stride():
        return
    shell = DeviceTensor(held, tensor.place)
    grad, needed = tensor.grad, tensor.requires_grad
    with no_dispatch():
        tensor.set_(shell)  # metadata alone: wrappers have no memory
    tensor.grad = grad
    assert tensor.shape == held.shape and tensor.requires_grad == needed


class _Move(torch.autograd.Function):
    """A copy to another device, whose gradient comes back from there."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, place: torch.device) -> Tensor:
        ctx.back = tensor.device
        copy = _plain(tensor).detach().clone()
        if place.type == "cpu":
            _now().waits["to cpu"] += 1
            return copy
        return DeviceTensor(copy, place)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Move.apply(gradient, ctx.back), None


_TO = torch.Tensor.to


def _to(tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """`Tensor.to`, between the processor and the devices."""
    if args and isinstance(args[0], Tensor):
        args, kwargs = (args[0].device, args[0].dtype), {k: v for k, v in kwargs.items() if k == "non_blocking"}
    kwargs.pop("non_blocking", None)
    device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    place = tensor.device if device is None else _now().place(device)
    if tensor.device.type != "cuda" and place.type != "cuda":
        return _TO(tensor, *args, copy=copy, **kwargs)
    options = {} if layout is None else {"memory_format": layout}
    if place != tensor.device:
        tensor, copy = _Move.apply(tensor, place), False
    return _TO(tensor, tensor.dtype if dtype is None else dtype, copy=copy, **options)


def _cuda(tensor: Tensor, device: Any = None, **kwargs: Any) -> Tensor:
    return _to(tensor, torch.device("cuda", device) if isinstance(device, int) else device or "cuda")


def _as_tensor(made_by: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.tensor`, `torch.as_tensor` and their like, of data that may be on a device already."""

    def make(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        place = None if device is None else _now().place(device)
        needs = kwargs.pop("requires_grad", False)
        made = data if isinstance(data, DeviceTensor) else made_by(data, *args, **kwargs)
        return _to(made, place, kwargs.get("dtype")).requires_grad_(needs)

    return make


def _placed(made_by: Callable[..., Any]) -> Callable[..., Any]:
    """What makes a tensor where `device` says, or where its first operand is, and perhaps by drawing."""

    def make(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        like = args[0].device if args and isinstance(args[0], Tensor) else CPU
        place = like if device is None else _now().place(device)
        if kwargs.get("generator") is not None:
            _check_generator(kwargs["generator"], place)
        if device is None:
            return made_by(*args, **kwargs)
        if isinstance(args[0] if args else None, DeviceTensor):
            return _to(made_by(*args, **kwargs), place)
        if place.type != "cuda":
            return made_by(*args, **kwargs, device=place)
        needs = kwargs.pop("requires_grad", False)
        return DeviceTensor(made_by(*args, **kwargs, device=CPU), place).requires_grad_(needs)

    return make


def _drawn(made_by: Callable[..., Any]) -> Callable[..., Any]:
    """What draws: as `_placed`, and known by its name to modes of torch, which may hand it a generator."""
    placed = _placed(made_by)

    def draw(*args: Any, **kwargs: Any) -> Any:
        if has_torch_function(args):
            return handle_torch_function(draw, args, *args, **kwargs)
        return placed(*args, **kwargs)

    return draw


def _new_tensor(like: Tensor, data: Any, **kwargs: Any) -> Tensor:
    return torch.tensor(data, **{"dtype": like.dtype, "device": like.device} | kwargs)


class _AnyGenerator(type(torch._C.Generator)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, torch._C.Generator)


class DeviceGenerator(torch._C.Generator, metaclass=_AnyGenerator):
    """A generator that belongs to a pretend device, and draws other numbers than the processor's."""

    place: torch.device

    def __new__(cls, device: Any = "cpu") -> Any:
        place = _now().place(device)
        if place.type != "cuda":
            return torch._C.Generator(device=place)
        made = super().__new__(cls, device="cpu")
        made.place = place
        return made

    def __init__(self, device: Any = "cpu") -> None:
        """All is done in `__new__`."""

    device = property(lambda self: self.place)  # type: ignore[assignment]

    def manual_seed(self, seed: int) -> DeviceGenerator:
        super().manual_seed(seed + _OTHER_DRAWS)
        return self


def _check_generator(generator: Any, place: torch.device) -> None:
    if generator.device.type != place.type:
        raise RuntimeError(f"Expected a '{place.type}' device type for generator but found '{generator.device.type}'")


_FACTORIES = (
    *("arange", "empty", "empty_like", "empty_strided", "eye", "full", "full_like", "linspace", "logspace", "ones"),
    *("ones_like", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "zeros"),
    *("zeros_like", "scalar_tensor", "tril_indices", "triu_indices"),
)
_DRAWING_METHODS = ("multinomial", "bernoulli", "bernoulli_", "exponential_", "normal_", "random_", "uniform_")


def _replaced() -> list[Any]:
    """Patches of what of torch makes or moves tensors, and of what it says of the machine."""
    functions = {name: _as_tensor(getattr(torch, name)) for name in ("tensor", "as_tensor", "asarray")}
    functions |= {name: _placed(getattr(torch, name)) for name in _FACTORIES}
    functions |= {name: _drawn(getattr(torch, name)) for name in ("multinomial", "bernoulli", "normal", "poisson")}
    made = [f"new_{kind}" for kind in ("empty", "empty_strided", "full", "ones", "zeros")]
    methods: dict[str, Any] = {name: _placed(getattr(torch.Tensor, name)) for name in made}
    methods |= {name: _drawn(getattr(torch.Tensor, name)) for name in _DRAWING_METHODS}
    methods |= {"to": _to, "cuda": _cuda, "new_tensor": _new_tensor}
    told: dict[str, Any] = {"is_available": lambda: True, "device_count": lambda: _now().n_devices}
    told |= {name: lambda *args: 0 for name in ("current_device", "max_memory_allocated")}
    told |= {name: lambda *args: None for name in ("synchronize", "reset_peak_memory_stats")}
    told["get_device_name"] = lambda *args: "a pretend device"
    return [
        mock.patch.multiple(torch, Generator=DeviceGenerator, **functions),
        mock.patch.multiple(torch.Tensor, **methods),
        mock.patch.multiple(torch.cuda, **told),
    ]


@contextmanager
def pretend_accelerator(n_devices: int = 1) -> Iterator[Machine]:
    """A machine with CUDA devices, inside the block and in all threads."""
    global _machine
    if _machine is not None:
        raise RuntimeError("there is a pretend machine already")
    _device_constructors()  # torch makes this list once: it is not to hold what stands in for them
    with ExitStack() as stack:
        _machine = Machine(n_devices)
        try:
            for patch in _replaced():
                stack.enter_context(patch)
            yield _machine
        finally:
            _machine = None
