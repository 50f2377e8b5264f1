//! Who opens the device: Burn, as everywhere else in these tests, or the embedder.

use crate::support::{random, values};
use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, Tensor};
use gtca::gpu::{Gpu, View};
use gtca::lora::LoraDesc;
use gtca::wgpu;
use gtca_burn::lora::{Apply, GatedLora};

/// An embedder's own device. Burn asks the adapter, not the device, what its kernels may use: all of it is to be enabled.
fn open() -> WgpuSetup {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let unneeded = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | wgpu::Features::all_experimental_mask();
    let required_features = adapter.features() - unneeded;
    let required_limits = adapter.limits();
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    let backend = adapter.get_info().backend;
    WgpuSetup { instance, adapter, device, queue, backend }
}

#[test]
fn burn_and_gtca_are_guests_on_a_device_that_somebody_else_opened() {
    let setup = open();
    let gpu = Gpu::adopt(setup.device.clone(), setup.queue.clone());
    let device = Device::wgpu_options().setup(setup).init().expect("Burn takes the device");
    // The embedder's own work goes on beside.
    let own = gpu.upload("own", &[1.0f32, 2.0, 3.0]);
    let desc = LoraDesc { inputs: 6, outputs: 10, rank: 2, ..Default::default() };
    let mut adapter = GatedLora::new(&gpu, &desc, &device).expect("an adapter");
    adapter.b_t = burn::module::Param::from_tensor(random(2, [2, 10], &device));
    let x = random::<3>(3, [2, 5, 6], &device);
    let y = random::<3>(4, [2, 5, 10], &device);
    let ours = adapter.forward(x.clone(), y.clone(), Apply::default());
    let h: Tensor<3> = x.matmul(adapter.a.val().transpose().unsqueeze());
    let theirs = y + h.matmul(adapter.b_t.val().unsqueeze()) * adapter.scale();
    crate::support::assert_close("y", 16, ours, theirs);
    let own = pollster::block_on(gpu.read_f32(&View::vector(&own, 3))).expect("a read");
    assert_eq!(own, [1.0, 2.0, 3.0]);
}

#[test]
fn threads_of_burn_share_the_device_and_keep_their_order() {
    let (device, gpu) = crate::support::host();
    let desc = LoraDesc { inputs: 32, outputs: 32, rank: 4, ..Default::default() };
    let mut adapter = GatedLora::new(&gpu, &desc, &device).expect("an adapter");
    adapter.b_t = burn::module::Param::from_tensor(random(2, [4, 32], &device));
    let run = |adapter: &GatedLora, device: &Device| {
        let mut y = random::<3>(4, [2, 16, 32], device);
        for step in 0..20 {
            // Made by Burn on this thread, read by gtca, read by Burn.
            y = adapter.forward(y.clone() * 0.5 + step as f32, y, Apply::default()) * 0.25;
        }
        values(y)
    };
    let expected = run(&adapter, &device);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (adapter, device) = (adapter.clone(), device.clone());
            std::thread::spawn(move || run(&adapter, &device))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("a thread"), expected);
    }
}
