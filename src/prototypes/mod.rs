//! Geo-context prototypes: what an image shows, explained by what its region usually looks like.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `c = Σ_p w_p P_rp`, `w = softmax(scale · q·P_rp)` | `shaders/prototypes/attend.wgsl` | [`twin::attend`] |
//! | `dq = Σ_p d_p P_rp`, `d_p = scale · w_p (dc·P_rp − Σ w dc·P_r)` | `shaders/prototypes/attend.wgsl` | [`twin::backward`] |
//! | `dP_rp = Σ w_p dc + d_p q` over the samples of region r | `shaders/prototypes/gradient.wgsl` | [`twin::backward`] |
//!
//! Tests: `tests/gpu/prototypes.rs`.
//!
//! **The papers'.** SkySense (Guo et al., CVPR 2024, "Geo-Context Prototype Learning") divides the globe into 4,096 regions
//! with 100 prototypes each. An image feature attends over the prototypes of its region, and what it finds is joined to the
//! feature. There, prototypes are learned without gradient: features are assigned to them by Sinkhorn–Knopp, and the
//! prototypes follow as moving averages. Neither SkySense's nor SkySense++'s released code has this part, so nothing here
//! could be compared with theirs.
//!
//! **Ours.** Prototypes learn by the gradient of the task. A region is any id of the record (tile, ecoregion, climate zone,
//! sensor), so that the cells are the user's: for equal ones see [`S2Cell`](crate::records::S2Cell). A record without a
//! region has a set of its own, the first, instead of an error or somebody else's. Joining `c` to the feature (or adding it)
//! is left to the caller, and so is the single head: project query and context with [`linear`](crate::linear).

mod gpu;
pub mod twin;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::{Access, Dtype, Mode, Recorder, View, check_overlap};
use crate::records::{Field, Kind, RECORD_WORDS};

const OP: &str = "prototypes";
const MAX_WIDTH: u32 = 4096;
const MAX_EACH: u32 = 256;
const MAX_NUMBERS: u64 = 1 << 24;

/// Prototypes of regions: `[(regions + 1) · each, width]`, set after set; set 0 stands for unknown regions, set 1 + r for
/// region r. Start them at random ([`Prototypes::initial`]): equal ones stay equal.
///
/// ```
/// use gtca::prototypes::Prototypes;
/// use gtca::records::Field;
/// let prototypes = Prototypes::new(Field::Ecoregion, 847, 8, 256)?;
/// assert_eq!(prototypes.rows(), 848 * 8);
/// assert_eq!(prototypes.scale, 1.0 / 16.0);
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prototypes {
    region: Field,
    regions: u32,
    each: u32,
    width: u32,
    /// Factor of the scores, 1/√width from the start. Scores are f32: where `scale · query·P` leaves its range (a finite
    /// scale does not exclude that), the sample's context and its gradients are undefined.
    pub scale: f32,
}

/// Arguments of [`Prototypes::attend`].
#[derive(Clone, Copy, Debug)]
pub struct Attend<'a> {
    /// What is explained, mostly a pooled image feature: `[S, width]`.
    pub query: View<'a>,
    /// u32 `[RECORD_WORDS, S]`, as [`Records::words`](crate::records::Records::words) lays them out.
    pub records: View<'a>,
    /// `[(regions + 1) · each, width]`.
    pub prototypes: View<'a>,
    /// Written: `[S, width]`.
    pub context: View<'a>,
    /// u32 `[1]`, counted up: records whose region has no set; they count as unknown.
    pub status: Option<View<'a>>,
}

/// Arguments of [`Prototypes::backward`].
///
/// ```no_run
/// # use gtca::{gpu::{Mode, Recorder, View}, prototypes::{Backward, Prototypes}};
/// # fn f<'a>(
/// #     recorder: &mut Recorder<'_>, ecoregions: &Prototypes, [query, records, prototypes]: [View<'a>; 3],
/// #     [dcontext, dquery, dprototypes]: [View<'a>; 3],
/// # ) -> Result<(), gtca::Error> {
/// let mode = Mode::Overwrite;
/// let args = Backward { query, records, prototypes, dcontext, dquery, dprototypes, mode };
/// ecoregions.backward(recorder, &args)
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// As in the forward.
    pub query: View<'a>,
    /// As in the forward.
    pub records: View<'a>,
    /// As in the forward.
    pub prototypes: View<'a>,
    /// Gradient of the context, `[S, width]`.
    pub dcontext: View<'a>,
    /// Written: gradient of the query, `[S, width]`.
    pub dquery: View<'a>,
    /// Written: gradient of the prototypes, `[(regions + 1) · each, width]`.
    pub dprototypes: View<'a>,
    /// Whether both are replaced or added to.
    pub mode: Mode,
}

impl Prototypes {
    /// `each` prototypes of `width` numbers for every region 0..`regions` that the field tells, and for unknown regions.
    ///
    /// # Errors
    /// A field without ids; `each` outside 1..=256, `width` outside 1..=4,096; more than 2²⁴ numbers.
    pub fn new(region: Field, regions: u32, each: u32, width: u32) -> Result<Self, Error> {
        if region.info().kind != Kind::U32 {
            let rule = "it must be one of sensor, climate_zone, ecoregion, tile";
            return Err(Error::argument(OP, "region", region.info().name, rule, "name an id field"));
        }
        for (name, value, most) in [("each", each, MAX_EACH), ("width", width, MAX_WIDTH)] {
            if !(1..=most).contains(&value) {
                let rule = format!("it must lie in 1..={most}");
                return Err(Error::argument(OP, name, value, rule, "shrink the sets or project the query"));
            }
        }
        let numbers = (u64::from(regions) + 1) * u64::from(each) * u64::from(width);
        if regions == 0 || numbers > MAX_NUMBERS {
            let rule =
                format!("there is a region, and at most {MAX_NUMBERS} numbers; these would be {numbers}");
            return Err(Error::argument(OP, "regions", regions, rule, "take coarser regions"));
        }
        Ok(Self { region, regions, each, width, scale: 1.0 / (width as f32).sqrt() })
    }

    /// Prototypes of all sets.
    pub fn rows(&self) -> u32 {
        (self.regions + 1) * self.each
    }

    /// Initial values: reproducible, normal with variance 1/width.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let count = self.rows() as usize * self.width as usize;
        let deviation = 1.0 / f64::from(self.width).sqrt();
        crate::common::rng::normals(seed).take(count).map(|x| (x * deviation) as f32).collect()
    }

    /// Records `context = Σ_p softmax(scale · query·P)_p P_p` over the prototypes of each record's region. Rows are
    /// independent: a sample alone gives the same bits.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs; a scale that is not finite.
    ///
    /// ```no_run
    /// # use gtca::{gpu::{Recorder, View}, prototypes::{Attend, Prototypes}, records::Field};
    /// # fn f<'a>(
    /// #     recorder: &mut Recorder<'_>, query: View<'a>, records: View<'a>, prototypes: View<'a>, context: View<'a>,
    /// # ) -> Result<(), gtca::Error> {
    /// let ecoregions = Prototypes::new(Field::Ecoregion, 847, 8, 256)?;
    /// ecoregions.attend(recorder, &Attend { query, records, prototypes, context, status: None })
    /// # }
    /// ```
    pub fn attend(&self, recorder: &mut Recorder<'_>, args: &Attend<'_>) -> Result<(), Error> {
        self.check(&args.query, &args.records, &args.prototypes)?;
        args.context.check_rows(OP, "context", Dtype::F32, args.query.rows(), self.width)?;
        let mut used = vec![
            ("query", args.query, Access::Read),
            ("records", args.records, Access::Read),
            ("prototypes", args.prototypes, Access::Read),
            ("context", args.context, Access::Write),
        ];
        if let Some(status) = args.status {
            status.check_rows(OP, "status", Dtype::U32, 1, 1)?;
            used.push(("status", status, Access::Write));
        }
        check_overlap(OP, &used)?;
        gpu::attend(self, recorder, args)
    }

    /// Records the gradients of queries and prototypes. Sums over samples run in chunks of 256 from sample 0 (twice as many
    /// until the partial sums fit 64 MiB), in order.
    ///
    /// # Errors
    /// As [`Prototypes::attend`]; also a batch whose partial sums, or one of whose chunks, no binding of the device holds.
    pub fn backward(&self, recorder: &mut Recorder<'_>, args: &Backward<'_>) -> Result<(), Error> {
        self.check(&args.query, &args.records, &args.prototypes)?;
        let samples = args.query.rows();
        args.dcontext.check_rows(OP, "dcontext", Dtype::F32, samples, self.width)?;
        args.dquery.check_rows(OP, "dquery", Dtype::F32, samples, self.width)?;
        args.dprototypes.check_rows(OP, "dprototypes", Dtype::F32, self.rows().into(), self.width)?;
        check_overlap(
            OP,
            &[
                ("query", args.query, Access::Read),
                ("records", args.records, Access::Read),
                ("prototypes", args.prototypes, Access::Read),
                ("dcontext", args.dcontext, Access::Read),
                ("dquery", args.dquery, Access::Write),
                ("dprototypes", args.dprototypes, Access::Write),
            ],
        )?;
        gpu::backward(self, recorder, args)
    }

    fn check(&self, query: &View<'_>, records: &View<'_>, prototypes: &View<'_>) -> Result<(), Error> {
        if !self.scale.is_finite() {
            return Err(Error::argument(OP, "scale", self.scale, "it must be finite", "take 1/√width"));
        }
        let samples = query.rows();
        if samples > u32::MAX.into() {
            let rule = "samples are counted in 32 bits";
            return Err(Error::argument(OP, "query", samples, rule, "split the batch"));
        }
        query.check_rows(OP, "query", Dtype::F32, samples, self.width)?;
        records.check_rows(OP, "records", Dtype::U32, RECORD_WORDS.into(), samples as u32)?;
        prototypes.check_rows(OP, "prototypes", Dtype::F32, self.rows().into(), self.width)
    }
}
