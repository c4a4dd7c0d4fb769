"""Encoders, quantizers, decoder, and the dual-encoder VQ-VAE made of them."""

from g1_vq_retarget.models.networks import Decoder, Encoder, NetworkConfig
from g1_vq_retarget.models.quantizer import Quantized, Quantizer, QuantizerConfig
from g1_vq_retarget.models.vqvae import DualEncoderVQVAE, Forward, ModelConfig

__all__ = [
    "Decoder",
    "DualEncoderVQVAE",
    "Encoder",
    "Forward",
    "ModelConfig",
    "NetworkConfig",
    "Quantized",
    "Quantizer",
    "QuantizerConfig",
]
