"""Shapes in annotations. Where jaxtyping is not installed (a bare training machine), they are plain tensors."""

try:
    from jaxtyping import Bool, Float, Int, UInt8
except ImportError:

    class _Plain:
        """Takes the place of a jaxtyping dtype: `Float[Tensor, "atoms 3"]` is then just `Tensor`."""

        def __class_getitem__(cls, item: tuple) -> type:
            return item[0]

    Bool = Float = Int = UInt8 = _Plain

__all__ = ["Bool", "Float", "Int", "UInt8"]
