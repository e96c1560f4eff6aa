"""RTAPlatform: what people do on your website and in your apps, now, in exact numbers."""

__version__ = "0.1.0"
