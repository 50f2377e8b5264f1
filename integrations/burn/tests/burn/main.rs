//! Every op on Burn's device against the same computation in Burn's own ops, in one process: Burn opens a device once.

mod adapter;
mod encode;
mod gate;
mod layout;
mod lora;
mod loss;
mod ownership;
mod sensitivity;
mod support;
mod training;
