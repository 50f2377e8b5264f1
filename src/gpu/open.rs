//! Picking an adapter and opening a device on it.

use super::Gpu;
use crate::Error;

/// Which adapter to open.
///
/// Environment variables fill what is left unset: `GTCA_ADAPTER` (part of the adapter's name, any case),
/// `GTCA_BACKEND` (`vulkan`, `metal` or `dx12`), `GTCA_POWER` (`low` or `high`).
///
/// ```
/// let options = gtca::gpu::OpenOptions { software: Some(true), ..Default::default() };
/// assert!(options.name.is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Part of the adapter's name, any case.
    pub name: Option<String>,
    /// One backend only.
    pub backend: Option<wgpu::Backend>,
    /// Low: integrated before discrete; high (and the default): discrete before integrated.
    pub power: Option<wgpu::PowerPreference>,
    /// `Some(true)`: a software adapter is required; `Some(false)`: refused; `None`: allowed, real GPUs first.
    pub software: Option<bool>,
    /// Limits to ask for, at most the adapter's; `None` asks for all that the adapter gives.
    pub limits: Option<wgpu::Limits>,
    /// Features to ask for, beside [`wgpu::Features::SUBGROUP`] and [`wgpu::Features::SHADER_INT64`], which are asked for where
    /// the adapter has them.
    pub features: wgpu::Features,
}

/// What kernels use where it is there.
const USED: wgpu::Features = wgpu::Features::SUBGROUP.union(wgpu::Features::SHADER_INT64);

impl OpenOptions {
    /// Fills unset wishes from the environment.
    fn with_environment(&self) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut wishes = self.clone();
        wishes.name = wishes.name.or_else(|| variable("GTCA_ADAPTER"));
        wishes.backend = wishes.backend.or_else(|| match variable("GTCA_BACKEND")?.to_lowercase().as_str() {
            "vulkan" => Some(wgpu::Backend::Vulkan),
            "metal" => Some(wgpu::Backend::Metal),
            "dx12" => Some(wgpu::Backend::Dx12),
            _ => None,
        });
        wishes.power = wishes.power.or_else(|| match variable("GTCA_POWER")?.to_lowercase().as_str() {
            "low" => Some(wgpu::PowerPreference::LowPower),
            "high" => Some(wgpu::PowerPreference::HighPerformance),
            _ => None,
        });
        wishes
    }

    fn accepts(&self, info: &wgpu::AdapterInfo) -> bool {
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let named = |name: &String| info.name.to_lowercase().contains(&name.to_lowercase());
        self.name.as_ref().is_none_or(named)
            && self.backend.is_none_or(|backend| backend == info.backend)
            && self.software.is_none_or(|wanted| wanted == software)
    }

    /// Smaller is better.
    fn rank(&self, info: &wgpu::AdapterInfo) -> u32 {
        let low = self.power == Some(wgpu::PowerPreference::LowPower);
        match (info.device_type, low) {
            (wgpu::DeviceType::DiscreteGpu, false) | (wgpu::DeviceType::IntegratedGpu, true) => 0,
            (wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::IntegratedGpu, _) => 1,
            (wgpu::DeviceType::VirtualGpu, _) => 2,
            (wgpu::DeviceType::Other, _) => 3,
            (wgpu::DeviceType::Cpu, _) => 4,
        }
    }
}

impl Gpu {
    /// Opens the best adapter that matches.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] names the wishes and the adapters found; [`Error::NoDevice`] carries the driver's words.
    pub async fn open(options: &OpenOptions) -> Result<Self, Error> {
        let wishes = options.with_environment();
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let adapters = wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::all()).await;
        let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
        let matching = adapters.into_iter().filter(|adapter| wishes.accepts(&adapter.get_info()));
        let Some(adapter) = matching.min_by_key(|adapter| wishes.rank(&adapter.get_info())) else {
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let wanted = format!(
                "name {:?}, backend {:?}, software {:?}",
                wishes.name, wishes.backend, wishes.software
            );
            return Err(Error::NoAdapter { wanted, found });
        };
        Self::open_adapter(&adapter, &wishes).await
    }

    async fn open_adapter(adapter: &wgpu::Adapter, wishes: &OpenOptions) -> Result<Self, Error> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("gtca"),
            required_features: wishes.features | (adapter.features() & USED),
            required_limits: wishes.limits.clone().unwrap_or_else(|| adapter.limits()),
            ..Default::default()
        };
        let refuse = |error: wgpu::RequestDeviceError| Error::NoDevice {
            adapter: adapter.get_info().name,
            message: error.to_string(),
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(refuse)?;
        let gpu = Self::adopt(device, queue);
        let inner = std::sync::Arc::downgrade(&gpu.inner);
        gpu.device().set_device_lost_callback(move |_, reason| {
            if let Some(inner) = inner.upgrade() {
                Self { inner }.mark_lost(reason);
            }
        });
        Ok(gpu)
    }

    /// As [`Gpu::open`], waiting.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    #[cfg(feature = "blocking")]
    pub fn open_blocking(options: &OpenOptions) -> Result<Self, Error> {
        pollster::block_on(Self::open(options))
    }
}
