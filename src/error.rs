//! What can go wrong, said so that the caller can mend it.

/// Everything `gtca` can refuse or fail at. Each message names the operation, the argument, the offending
/// value, the rule it broke and what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument of an operation breaks a rule. Nothing was recorded.
    #[error("{op}: `{argument}` is {value}, but {rule}; {remedy}")]
    Argument {
        /// The operation, as its room is called (`lora`, `encode` …).
        op: &'static str,
        /// The argument's name in the descriptor or call.
        argument: &'static str,
        /// What was given.
        value: String,
        /// The rule that it breaks.
        rule: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A host-built metadata record holds an impossible value. Nothing was uploaded.
    #[error("record {index}: `{field}` is {value}, but {rule}; {remedy}")]
    Record {
        /// Position of the record in the batch, from 0.
        index: usize,
        /// The field's name in the table of fields.
        field: &'static str,
        /// What was given.
        value: String,
        /// The rule that it breaks.
        rule: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Two arguments share bytes and at least one of them is written.
    #[error(
        "{op}: `{first}` and `{second}` overlap in one buffer and one of them is written; give them disjoint ranges"
    )]
    Overlap {
        /// The operation.
        op: &'static str,
        /// One argument.
        first: &'static str,
        /// The other argument.
        second: &'static str,
    },
    /// No adapter matches the wishes.
    #[error(
        "no GPU adapter matches ({wanted}); found: {found}; install a Vulkan driver (software: mesa-vulkan-drivers) or relax the options"
    )]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The adapters that are there.
        found: String,
    },
    /// The adapter refused to make a device.
    #[error("the adapter `{adapter}` gave no device: {message}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// The driver's words.
        message: String,
    },
    /// The device was lost; every object made on it is dead. Open a new one and upload again from the host.
    #[error("the device was lost: {reason}; open a new device and upload again from host copies")]
    DeviceLost {
        /// The driver's words, or the embedder's.
        reason: String,
    },
    /// The device refused something that passed our own checks, or ran out of memory.
    #[error("{op}: the device refused: {message}")]
    Device {
        /// The operation.
        op: &'static str,
        /// The device's words.
        message: String,
    },
    /// A stored file does not hold what it should.
    #[error("{file}: {problem}; {remedy}")]
    File {
        /// The file's name, or what stands for it.
        file: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file of PEFT's cannot be used.
    #[cfg(feature = "peft")]
    #[error("{file}: {problem}")]
    Peft {
        /// The file.
        file: String,
        /// What is wrong.
        problem: crate::adapter::peft::Problem,
    },
}

impl Error {
    /// An argument that breaks a rule.
    pub(crate) fn argument(
        op: &'static str,
        argument: &'static str,
        value: impl ToString,
        rule: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self::Argument { op, argument, value: value.to_string(), rule: rule.into(), remedy }
    }

    /// A value of a host-built record that breaks a rule.
    pub(crate) fn record(
        index: usize,
        field: &'static str,
        value: impl ToString,
        rule: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self::Record { index, field, value: value.to_string(), rule: rule.into(), remedy }
    }
}
