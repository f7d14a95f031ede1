//! The programs that plans are written for, and which version of each.

/// A program that trains what was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Megatron-LM.
    Megatron,
    /// DeepSpeed.
    DeepSpeed,
    /// torchtitan.
    Torchtitan,
    /// Megatron-Bridge.
    Bridge,
}

impl Target {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Megatron => "Megatron-LM",
            Target::DeepSpeed => "DeepSpeed",
            Target::Torchtitan => "torchtitan",
            Target::Bridge => "Megatron-Bridge",
        }
    }

    /// The version whose arguments and fields are written: repository and commit.
    pub const fn version(self) -> &'static str {
        match self {
            Target::Megatron => "NVIDIA/Megatron-LM d98e8a64ddf3 (2026-08-22)",
            Target::DeepSpeed => "deepspeedai/DeepSpeed edaa7221267 (2026-08-22)",
            Target::Torchtitan => "pytorch/torchtitan b5bcd76c66d0 (2026-08-21)",
            Target::Bridge => "NVIDIA-NeMo/Megatron-Bridge 067f987df03b (2026-08-22)",
        }
    }
}
