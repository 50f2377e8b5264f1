//! The formulas in f64, row by row, for one adapter and for many.

/// One adapter's numbers; a matrix row per rank.
#[derive(Clone)]
pub struct Adapter {
    pub rank: usize,
    pub scale: f64,
    pub a: Vec<f64>,
    pub b_t: Vec<f64>,
    /// Empty: none.
    pub bias: Vec<f64>,
}

/// All that forward and backward read.
#[derive(Clone)]
pub struct Model {
    pub inputs: usize,
    pub outputs: usize,
    /// Width of h.
    pub rank: usize,
    pub adapters: Vec<Adapter>,
    pub adapter_of_row: Vec<Option<usize>>,
    pub gates: Vec<f64>,
    /// The gate of (row, rank), in `gates`.
    pub gate_at: Vec<Option<usize>>,
    pub lambda: f64,
    pub x: Vec<f64>,
    /// What dropout multiplies each number of x by.
    pub kept: Vec<f64>,
    /// Empty in a forward.
    pub dy: Vec<f64>,
    /// As given to the backward.
    pub h: Option<Vec<f64>>,
}

/// All that may be written, before it is added to anything.
pub struct Outputs {
    pub y: Vec<f64>,
    pub h: Vec<f64>,
    pub u: Vec<f64>,
    pub dx: Vec<f64>,
    pub da: Vec<Vec<f64>>,
    pub db_t: Vec<Vec<f64>>,
    pub dbias: Vec<Vec<f64>>,
    pub dgate: Vec<f64>,
    pub dlambda: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(out: &mut [f64], factor: f64, values: &[f64]) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out += factor * value);
}

impl Model {
    /// The same with magnitudes for numbers: its outputs are sums of the products' magnitudes.
    pub fn magnitudes(&self) -> Self {
        let mut model = self.clone();
        let Self { gates, lambda, x, dy, h, adapters, .. } = &mut model;
        let of_adapters = adapters.iter_mut().flat_map(|Adapter { scale, a, b_t, bias, .. }| {
            *scale = scale.abs();
            [a, b_t, bias]
        });
        *lambda = lambda.abs();
        let all = [gates, x, dy].into_iter().chain(h).chain(of_adapters);
        all.flatten().for_each(|value| *value = value.abs());
        model
    }

    fn gate(&self, row: usize, j: usize) -> f64 {
        self.gate_at[row * self.rank + j].map_or(1.0, |at| self.gates[at])
    }

    pub fn outputs(&self) -> Outputs {
        let Self { inputs, outputs, rank, lambda, .. } = *self;
        let rows = self.adapter_of_row.len();
        // λ times the sum of nothing, which of a λ that is not finite is no number.
        let none = lambda * 0.0;
        let zeros = |of: fn(&Adapter) -> usize| self.adapters.iter().map(|a| vec![none; of(a)]).collect();
        let mut out = Outputs {
            y: vec![0.0; rows * outputs],
            h: vec![0.0; rows * rank],
            u: vec![0.0; rows * rank],
            dx: vec![0.0; rows * inputs],
            da: zeros(|adapter| adapter.a.len()),
            db_t: zeros(|adapter| adapter.b_t.len()),
            dbias: zeros(|adapter| adapter.bias.len()),
            dgate: vec![none; self.gates.len()],
            dlambda: 0.0,
        };
        // Of one adapter it is (Σ dy)·bias, even where Σ dy is the sum of nothing.
        if let [only] = &self.adapters[..] {
            out.dlambda = only.bias.iter().map(|bias| 0.0 * bias).sum();
        }
        for (row, id) in self.adapter_of_row.iter().enumerate() {
            let Some(id) = *id else { continue };
            let adapter = &self.adapters[id];
            let s = adapter.scale;
            // A dropped number is 0 whatever it was.
            let kept = &self.kept[row * inputs..][..inputs];
            let drop = |(x, kept): (&f64, &f64)| if *kept == 0.0 { 0.0 } else { x * kept };
            let x: Vec<f64> = self.x[row * inputs..][..inputs].iter().zip(kept).map(drop).collect();
            let dy = self.dy.get(row * outputs..(row + 1) * outputs).unwrap_or(&[]);
            let y = &mut out.y[row * outputs..][..outputs];
            let mut dx = vec![0.0; inputs];
            for j in 0..adapter.rank {
                let (a, b) = (&adapter.a[j * inputs..][..inputs], &adapter.b_t[j * outputs..][..outputs]);
                let g = self.gate(row, j);
                let fresh = dot(&x, a);
                let h = self.h.as_ref().map_or(fresh, |h| h[row * rank + j]);
                let u = dot(dy, b);
                (out.h[row * rank + j], out.u[row * rank + j]) = (fresh, u);
                add_scaled(y, lambda * s * g * fresh, b);
                add_scaled(&mut dx, lambda * s * g * u, a);
                add_scaled(&mut out.da[id][j * inputs..][..inputs], lambda * s * g * u, &x);
                if !dy.is_empty() {
                    add_scaled(&mut out.db_t[id][j * outputs..][..outputs], lambda * s * g * h, dy);
                }
                if let Some(at) = self.gate_at[row * rank + j] {
                    out.dgate[at] += lambda * s * u * h;
                }
                out.dlambda += s * g * u * h;
            }
            add_scaled(y, lambda * s, &adapter.bias);
            if !adapter.bias.is_empty() {
                add_scaled(&mut out.dbias[id], lambda * s, dy);
                out.dlambda += s * dot(dy, &adapter.bias);
            }
            let none = lambda * s * 0.0;
            let dropped = dx.iter().zip(kept).map(|(dx, kept)| if *kept == 0.0 { none } else { dx * kept });
            out.dx[row * inputs..][..inputs].iter_mut().zip(dropped).for_each(|(out, dx)| *out = dx);
        }
        out
    }
}
