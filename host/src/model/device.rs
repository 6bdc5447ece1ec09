//! Where tensors live: opens the CUDA backend at run time, picks the device, sets the threads.
//!
//! The binary is linked to libtorch's CPU libraries only. `libtorch_cuda.so` registers its backend when it is opened before the
//! first torch call; without it, or without a device, everything runs on the CPU. `unsafe` here: opening that one library, and the
//! environment that libtorch reads.

use std::sync::OnceLock;
use std::time::Instant;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::config::{DeviceChoice, Dtype};
use crate::error::UserError;

/// Resolves the device; sets libtorch's threads (0 leaves them as they are). Call before any other torch call.
pub fn prepare(choice: DeviceChoice, threads: usize) -> Result<Device> {
    let device = match choice {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::Auto | DeviceChoice::Cuda if cuda() => Device::Cuda(0),
        DeviceChoice::Auto => Device::Cpu,
        DeviceChoice::Cuda => {
            return Err(UserError::new("model.device = \"cuda\", but no CUDA device can be used")
                .hint("put the directory of libtorch_cuda.so on LD_LIBRARY_PATH, check `nvidia-smi`, or say device = \"cpu\"")
                .into());
        }
    };
    if threads > 0 {
        tch::set_num_threads(i32::try_from(threads)?);
    }
    Ok(device)
}

/// Lets libtorch take large pages for large tensors, unless the environment says what it shall do: training is some 4 % faster for it, with
/// a twentieth more memory.
///
/// # Safety
///
/// To be called before there is a second thread: it changes the environment.
pub unsafe fn take_large_pages() {
    const SETTING: &str = "THP_MEM_ALLOC_ENABLE";
    if std::env::var_os(SETTING).is_none() {
        // SAFETY: the caller's promise.
        unsafe { std::env::set_var(SETTING, "1") };
    }
}

/// torch's name for a configured dtype.
pub fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::Bf16 => Kind::BFloat16,
    }
}

/// The format of what goes through a model of such weights: on the CPU f32, in which it does everything but products fastest; a GPU computes
/// in the weights' format.
pub fn activation_kind(weights: Kind, device: Device) -> Kind {
    if device == Device::Cpu { Kind::Float } else { weights }
}

/// Whether a CPU multiplies by weights of this format in f32: by bf16 ones only where it is not faster in bf16.
pub fn multiplies_in_f32(weights: Kind) -> bool {
    weights != Kind::BFloat16 || !has_bf16_tiles()
}

/// Whether this processor has units for whole tiles of bf16 matrices (AMX). The bf16 instructions of AVX-512 alone reach half the rate
/// of f32 in libtorch's products, and without those bf16 is emulated.
fn has_bf16_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        const FEATURES: u32 = 7;
        const AMX_BF16: u32 = 1 << 22;
        // Under a hypervisor every question to the processor takes microseconds.
        static FOUND: OnceLock<bool> = OnceLock::new();
        *FOUND.get_or_init(|| __cpuid(0).eax >= FEATURES && __cpuid_count(FEATURES, 0).edx & AMX_BF16 != 0)
    }
    #[cfg(not(target_arch = "x86_64"))]
    true
}

fn cuda() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| open_cuda() && tch::Cuda::is_available() && tch::Cuda::device_count() > 0)
}

#[cfg(unix)]
fn open_cuda() -> bool {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the library's initialisers run: they are libtorch's own, which register the CUDA backend and touch nothing of ours. It is
    // found by bare name on the loader's path, which whoever starts the process controls anyway.
    match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            // Unloading a backend whose kernels are registered would leave dangling pointers.
            std::mem::forget(library);
            true
        }
        Err(_) => false,
    }
}

#[cfg(not(unix))]
fn open_cuda() -> bool {
    false
}

/// The process's greatest resident set so far, MiB; none where the system does not say.
pub fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Bytes of the CUDA device's memory that are in use, by whomever; none without CUDA.
pub fn device_memory() -> Option<usize> {
    type Info = unsafe extern "C" fn(*mut usize, *mut usize) -> i32;
    #[cfg(unix)]
    {
        let all = libloading::os::unix::Library::this();
        // SAFETY: the CUDA runtime's function of this name has this type in every version; libtorch has loaded it.
        let info = unsafe { all.get::<Info>(b"cudaMemGetInfo") }.ok()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: it writes two numbers.
        (unsafe { info(&raw mut free, &raw mut total) } == 0).then(|| total - free)
    }
    #[cfg(not(unix))]
    None
}

/// Seconds that this thread has had a processor: work of other processes does not count. By the wall's clock where the system does not say.
pub fn processor_seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |n| n / 1e9)
}

/// Floating-point operations per second of 1024³ matrix products on one CPU thread, the best of a few.
pub fn matmul_rate(dtype: Dtype) -> f64 {
    const N: i64 = 1024;
    /// Some systems count a thread's time in steps as long as one fast product.
    const PRODUCTS: i64 = 16;
    tch::set_num_threads(1);
    let [a, b] = [0, 1].map(|_| Tensor::ones([N, N], (kind(dtype), Device::Cpu)));
    let seconds = (0..4).map(|_| {
        let started = processor_seconds();
        for _ in 0..PRODUCTS {
            let _ = a.matmul(&b);
        }
        processor_seconds() - started
    });
    (2 * PRODUCTS * N * N * N) as f64 / seconds.fold(f64::INFINITY, f64::min)
}

/// Bytes per second that a copy of 1 GiB moves on the device, read and written, the best of a few.
pub fn copy_rate(device: Device) -> f64 {
    const N: i64 = 1 << 28;
    let from = Tensor::ones([N], (Kind::Float, device));
    let mut to = Tensor::zeros([N], (Kind::Float, device));
    let seconds = (0..5).map(|_| {
        const COPIES: usize = 10;
        let started = Instant::now();
        for _ in 0..COPIES {
            to.copy_(&from);
        }
        // Waits for the device.
        let _ = to.double_value(&[0]);
        started.elapsed().as_secs_f64() / COPIES as f64
    });
    2.0 * (N * 4) as f64 / seconds.fold(f64::INFINITY, f64::min)
}
