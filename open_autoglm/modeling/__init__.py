"""The model in PyTorch: configuration, towers, heads and processor, as Hugging Face classes.

It never imports search, cache or serving.
"""

from .configuration import OpenAutoGLMConfig
from .efficientnet_lite import EfficientNetLiteConfig, EfficientNetLiteModel
from .model import OpenAutoGLM, OpenAutoGLMOutput
from .processor import OpenAutoGLMImageProcessor, OpenAutoGLMProcessor

__all__ = [
    "EfficientNetLiteConfig",
    "EfficientNetLiteModel",
    "OpenAutoGLM",
    "OpenAutoGLMConfig",
    "OpenAutoGLMImageProcessor",
    "OpenAutoGLMOutput",
    "OpenAutoGLMProcessor",
]
