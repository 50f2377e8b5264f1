//! Mesa's RADV, told to compile for a GPU that is not there, and asked what came out.

use ash::ext::robustness2;
use ash::khr::pipeline_executable_properties;
use ash::vk;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::Path;

/// What the driver reports of one pipeline, by the driver's own names.
pub(crate) type Statistics = BTreeMap<String, u64>;

/// The driver's compiler. Nothing is ever submitted: there is nothing to submit to.
pub(crate) struct Radv {
    /// The GPU that is pretended, and the driver's name.
    pub(crate) name: String,
    statistics: pipeline_executable_properties::Device,
    device: ash::Device,
    instance: ash::Instance,
    // Last: the functions of the fields above live in its library.
    _library: ash::Entry,
}

/// Says in the environment which driver the Vulkan loader takes, and which GPU the driver pretends.
///
/// # Safety
/// No other thread runs.
pub(crate) unsafe fn choose(manifest: &Path, family: &str) {
    for (name, value) in [
        // The second is the name that older loaders know.
        ("VK_DRIVER_FILES", manifest.as_os_str()),
        ("VK_ICD_FILENAMES", manifest.as_os_str()),
        ("RADV_FORCE_FAMILY", family.as_ref()),
    ] {
        // SAFETY: the caller's promise, that nobody reads the environment meanwhile.
        unsafe { std::env::set_var(name, value) };
    }
}

impl Radv {
    /// Opens the pretended device, or says why there is none.
    pub(crate) fn open() -> Result<Self, String> {
        // SAFETY: the Vulkan loader is a library made to be loaded so; nothing of it is used after `_library` is dropped.
        let library = unsafe { ash::Entry::load() }.map_err(|error| format!("no Vulkan loader: {error}"))?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `create` and what it points to outlive the call.
        let instance = unsafe { library.create_instance(&create, None) }
            .map_err(|error| format!("no Vulkan instance: {error}"))?;
        match Self::device(&instance) {
            Ok((device, name)) => {
                let statistics = pipeline_executable_properties::Device::new(&instance, &device);
                Ok(Self { name, statistics, device, instance, _library: library })
            }
            Err(why) => {
                // SAFETY: nothing that was made from the instance is left.
                unsafe { instance.destroy_instance(None) };
                Err(why)
            }
        }
    }

    fn device(instance: &ash::Instance) -> Result<(ash::Device, String), String> {
        // SAFETY: the instance is alive in this whole function.
        let all = unsafe { instance.enumerate_physical_devices() }
            .map_err(|error| format!("the driver shows no device: {error}"))?;
        let physical = *all.first().ok_or("the driver shows no device")?;
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: `physical` is one of the instance's; both structs are writable and chained by their types.
        unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
        let gpu = text(properties.properties.device_name_as_c_str());
        let name =
            format!("{gpu}, {} {}", text(driver.driver_name_as_c_str()), text(driver.driver_info_as_c_str()));
        if driver.driver_id != vk::DriverId::MESA_RADV {
            return Err(format!("{name} is not RADV"));
        }
        let extensions = [pipeline_executable_properties::NAME, robustness2::NAME].map(CStr::as_ptr);
        let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
        let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
        let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
        let mut info = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        let create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .enabled_features(&core)
            .push_next(&mut robust)
            .push_next(&mut info);
        // SAFETY: all that `create` points to outlives the call; the driver itself refuses what it does not have.
        let device = unsafe { instance.create_device(physical, &create, None) }
            .map_err(|error| format!("{name} opens no device: {error}"))?;
        Ok((device, name))
    }

    /// Compiles a kernel with one uniform and so many storage bindings.
    pub(crate) fn compile(&self, words: &[u32], storage: u32) -> Result<Statistics, String> {
        Pipeline::new(self, words, storage)
            .and_then(|pipeline| pipeline.statistics())
            .map_err(|error| error.to_string())
    }
}

impl Drop for Radv {
    fn drop(&mut self) {
        // SAFETY: pipelines borrow `self`, so none is left; the instance goes after its device.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// A pipeline with what it was made of; null until made, which Vulkan takes for nothing to destroy.
struct Pipeline<'a> {
    radv: &'a Radv,
    set: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    module: vk::ShaderModule,
    pipeline: vk::Pipeline,
}

impl<'a> Pipeline<'a> {
    fn new(radv: &'a Radv, words: &[u32], storage: u32) -> Result<Self, vk::Result> {
        let (set, layout, module, pipeline) = Default::default();
        let mut made = Self { radv, set, layout, module, pipeline };
        let binding = |binding, ty| {
            let of = vk::DescriptorSetLayoutBinding::default().binding(binding).descriptor_type(ty);
            of.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let buffers = (1..=storage).map(|at| binding(at, vk::DescriptorType::STORAGE_BUFFER));
        let bindings: Vec<_> =
            std::iter::once(binding(0, vk::DescriptorType::UNIFORM_BUFFER)).chain(buffers).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the device is alive, and `set` with all it points to outlives the call.
        made.set = unsafe { radv.device.create_descriptor_set_layout(&set, None) }?;
        let sets = [made.set];
        let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: as above; the set layout was made from this device.
        made.layout = unsafe { radv.device.create_pipeline_layout(&layout, None) }?;
        let module = vk::ShaderModuleCreateInfo::default().code(words);
        // SAFETY: naga wrote these words from a validated module, with the capabilities of core Vulkan 1.1.
        made.module = unsafe { radv.device.create_shader_module(&module, None) }?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(made.module)
            .name(c"main");
        let create = [vk::ComputePipelineCreateInfo::default()
            .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
            .stage(stage)
            .layout(made.layout)];
        // SAFETY: layout and module were made from this device, and the module's bindings are the layout's: the test
        // suite holds every kernel's text against its row of the table. The feature that the flag needs is enabled.
        let pipelines =
            unsafe { radv.device.create_compute_pipelines(vk::PipelineCache::null(), &create, None) };
        made.pipeline = pipelines.map_err(|(_, error)| error)?[0];
        Ok(made)
    }

    /// Of the one executable that a compute pipeline of RADV has.
    fn statistics(&self) -> Result<Statistics, vk::Result> {
        let of = vk::PipelineExecutableInfoKHR::default().pipeline(self.pipeline).executable_index(0);
        // SAFETY: the pipeline is alive and was made with the flag that captures statistics; it has an executable 0.
        let all = unsafe { self.radv.statistics.get_pipeline_executable_statistics(&of) }?;
        Ok(all
            .iter()
            .filter_map(|statistic| Some((text(statistic.name_as_c_str()), count(statistic)?)))
            .collect())
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        let device = &self.radv.device;
        // SAFETY: each was made from this device or is null, and nothing of it is in use: nothing was submitted.
        unsafe {
            device.destroy_pipeline(self.pipeline, None);
            device.destroy_shader_module(self.module, None);
            device.destroy_pipeline_layout(self.layout, None);
            device.destroy_descriptor_set_layout(self.set, None);
        }
    }
}

/// A statistic that counts something.
fn count(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> Option<u64> {
    match statistic.format {
        // SAFETY: the format says which member of the union the driver wrote.
        vk::PipelineExecutableStatisticFormatKHR::UINT64 => Some(unsafe { statistic.value.u64 }),
        _ => None,
    }
}

fn text(name: Result<&CStr, std::ffi::FromBytesUntilNulError>) -> String {
    name.map_or_else(|_| "unnamed".into(), |name| name.to_string_lossy().into_owned())
}
