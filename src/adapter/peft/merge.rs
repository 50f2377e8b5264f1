//! The ungated part of an adapter added to a frozen weight, and taken out again, on the host.

use super::PeftLayer;
use crate::Error;
use crate::lora::Lora;

const OP: &str = "peft";

impl PeftLayer {
    /// Merges: `W += λ·s·B·A`, as g = 1 would inject. `weight` is `[outputs, inputs]`, as `torch.nn.Linear` has it.
    ///
    /// Each element is summed in f64 and rounded once. So [unmerging](Self::unmerge) with the same λ returns to within
    /// `2⁻²⁴ (|w| + |w + d|)` of w, where d is what was added: half a unit in the last place of either. Where d is far
    /// larger than w, little of w is left; keep the weight where its bits are needed.
    ///
    /// ```
    /// use gtca::adapter::peft::PeftLayer;
    /// use gtca::lora::LoraDesc;
    /// let desc = LoraDesc { inputs: 2, outputs: 1, rank: 1, alpha: 2.0, ..Default::default() };
    /// let layer = PeftLayer { a: vec![1.0, 10.0], b_t: vec![0.5], ..PeftLayer::zeros("q", desc)? };
    /// let mut weight = [3.0, 4.0];
    /// layer.merge(&mut weight, 1.0)?;
    /// assert_eq!(weight, [4.0, 14.0]);
    /// layer.unmerge(&mut weight, 1.0)?;
    /// assert_eq!(weight, [3.0, 4.0]);
    /// # Ok::<(), gtca::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of elements than `outputs · inputs`; a λ, a weight or a sum that is not finite. The weight is as it
    /// was then.
    pub fn merge(&self, weight: &mut [f32], lambda: f32) -> Result<(), Error> {
        self.add(weight, f64::from(lambda))
    }

    /// Takes out what [`Self::merge`] added: `W −= λ·s·B·A`.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub fn unmerge(&self, weight: &mut [f32], lambda: f32) -> Result<(), Error> {
        self.add(weight, -f64::from(lambda))
    }

    fn add(&self, weight: &mut [f32], lambda: f64) -> Result<(), Error> {
        let (inputs, outputs) = (self.desc.inputs as usize, self.desc.outputs as usize);
        if weight.len() != inputs * outputs {
            let rule = format!("`{}` has a weight of [{outputs}, {inputs}]", self.module);
            return Err(Error::argument(OP, "weight", weight.len(), rule, "give all of its elements"));
        }
        if !lambda.is_finite() {
            return Err(Error::argument(OP, "lambda", lambda, "it must be finite", "use 1"));
        }
        let scale = lambda * f64::from(Lora::new(&self.desc)?.scale());
        let mut sums = Vec::with_capacity(weight.len());
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let mut sum: Vec<f64> = row.iter().map(|&w| w.into()).collect();
            for (b_row, a_row) in self.b_t.chunks_exact(outputs).zip(self.a.chunks_exact(inputs)) {
                let b = scale * f64::from(b_row[output]);
                sum.iter_mut().zip(a_row).for_each(|(sum, &a)| *sum += b * f64::from(a));
            }
            sums.extend(sum.into_iter().map(|sum| sum as f32));
        }
        if let Some(at) = sums.iter().position(|sum| !sum.is_finite()) {
            let rule = format!("weight and sum must be finite at [{}, {}]", at / inputs, at % inputs);
            let value = format!("{} before and {} after", weight[at], sums[at]);
            return Err(Error::argument(OP, "weight", value, rule, "check adapter, λ and weight"));
        }
        weight.copy_from_slice(&sums);
        Ok(())
    }
}
