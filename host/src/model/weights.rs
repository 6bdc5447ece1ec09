//! Weights in and out: `model.safetensors`, single or sharded, memory-mapped.
//!
//! Reading takes exactly the tensors that the decoder asks for, by name and shape; a missing, wrongly shaped or left-over tensor is an
//! error that names it. `unsafe` here: mapping the files, and letting go of what was read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor};

use super::linear::{Role, Source};
use crate::error::UserError;

/// The tensors of a model folder.
pub struct Weights {
    files: Vec<(PathBuf, Mmap)>,
    place: BTreeMap<String, Place>,
    taken: BTreeSet<String>,
    device: Device,
    kind: Kind,
}

/// Where a tensor lies: which file, and which of its bytes.
struct Place {
    file: usize,
    bytes: std::ops::Range<usize>,
    dtype: Dtype,
    shape: Vec<i64>,
}

impl Weights {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub fn open(dir: &Path, device: Device, kind: Kind) -> Result<Self> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        let paths = if single.exists() {
            vec![single]
        } else if index.exists() {
            shards(&index)?.into_iter().map(|name| dir.join(name)).collect()
        } else {
            return Err(UserError::new(format!(
                "{} holds neither model.safetensors nor model.safetensors.index.json",
                dir.display()
            ))
            .hint("other formats (pytorch_model.bin, gguf) are not read: save the model with safe_serialization=True")
            .into());
        };
        Self::open_files(paths, device, kind)
    }

    /// Opens one file, such as an adapter's.
    pub fn open_files(paths: Vec<PathBuf>, device: Device, kind: Kind) -> Result<Self> {
        let mut files = Vec::new();
        let mut place = BTreeMap::new();
        for path in paths {
            let file = File::open(&path).map_err(|e| {
                UserError::new(format!("cannot read {}: {e}", path.display()))
                    .hint("the folder is incomplete: download it again")
            })?;
            // SAFETY: the mapping is read-only and private to this value. That nobody truncates the file while it is mapped is the
            // caller's promise, as with every program that maps weights.
            let map = unsafe { Mmap::map(&file) }.with_context(|| format!("mapping {}", path.display()))?;
            for (name, view) in parse(&path, &map)?.iter() {
                let start = view.data().as_ptr() as usize - map.as_ptr() as usize;
                let shape = view.shape().iter().map(|&n| n as i64).collect();
                let bytes = start..start + view.data().len();
                place.insert(name.to_owned(), Place { file: files.len(), bytes, dtype: view.dtype(), shape });
            }
            files.push((path, map));
        }
        Ok(Self { files, place, taken: BTreeSet::new(), device, kind })
    }

    /// The tensor `name`, which must have `shape`, on the device and in the dtype asked for.
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let (bytes, dtype) = self.find(name, shape)?;
        let tensor = Tensor::f_from_data_size(bytes, shape, torch_kind(name, dtype)?)?;
        self.let_go(name);
        Ok(tensor.f_to_device(self.device)?.f_to_kind(self.kind)?)
    }

    /// Gives the pages of a tensor back to the system: what was copied is not needed twice.
    fn let_go(&self, name: &str) {
        #[cfg(unix)]
        if let Some(Place { file, bytes, .. }) = self.place.get(name) {
            let (_, map) = &self.files[*file];
            // SAFETY: the mapping is read-only: pages that are looked at again are read from the file again. A refusal costs memory, no more.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
        }
    }

    /// The bytes and the format of the tensor `name`, which must have `shape`; it counts as taken.
    fn find(&mut self, name: &str, shape: &[i64]) -> Result<(&[u8], Dtype)> {
        let Some(place) = self.place.get(name) else {
            return Err(UserError::new(format!("the weights lack the tensor `{name}`"))
                .hint("the folder is incomplete or of another architecture than its config.json says")
                .into());
        };
        let (path, map) = &self.files[place.file];
        if place.shape != shape {
            return Err(UserError::new(format!(
                "{}: the tensor `{name}` has shape {:?}, config.json asks for {shape:?}",
                path.display(),
                place.shape
            ))
            .hint("config.json and the weights are of different models")
            .into());
        }
        self.taken.insert(name.to_owned());
        Ok((&map[place.bytes.clone()], place.dtype))
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.place.contains_key(name)
    }

    /// An error where a tensor was not taken, unless `ignore` says that it may lie there.
    pub fn finish(&self, ignore: impl Fn(&str) -> bool) -> Result<()> {
        let left: Vec<&str> =
            self.place.keys().filter(|name| !self.taken.contains(*name) && !ignore(name)).map(String::as_str).collect();
        if left.is_empty() {
            return Ok(());
        }
        let shown = left.iter().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        Err(UserError::new(format!(
            "the weights hold {} tensors that this architecture does not use: {shown}",
            left.len()
        ))
        .hint("config.json and the weights are of different models")
        .into())
    }
}

impl Source for Weights {
    fn take(&mut self, name: &str, shape: &[i64], _: Role) -> Result<Tensor> {
        Self::take(self, name, shape)
    }

    fn has(&self, name: &str) -> bool {
        Self::has(self, name)
    }
}

/// Weights whose tensors are looked up and checked, but not read.
pub struct Census<'a> {
    /// The folder's.
    pub weights: &'a mut Weights,
    /// Numbers in the tensors taken.
    pub parameters: i64,
    /// The formats they are stored in, with how many bytes each.
    pub stored: BTreeMap<&'static str, usize>,
}

impl Source for Census<'_> {
    fn take(&mut self, name: &str, shape: &[i64], _: Role) -> Result<Tensor> {
        let (bytes, dtype) = self.weights.find(name, shape)?;
        let length = bytes.len();
        let format = match torch_kind(name, dtype)? {
            Kind::BFloat16 => "bf16",
            Kind::Half => "f16",
            Kind::Float => "f32",
            _ => "f64",
        };
        *self.stored.entry(format).or_default() += length;
        self.parameters += shape.iter().product::<i64>();
        Ok(Tensor::f_empty([0], (Kind::Float, Device::Cpu))?)
    }

    fn has(&self, name: &str) -> bool {
        self.weights.has(name)
    }
}

/// Writes tensors in name order; f32 or bf16 as they are. Atomic: a file is either whole or not there.
pub fn save(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut views = Vec::with_capacity(tensors.len());
    let mut buffers = Vec::with_capacity(tensors.len());
    for (_, tensor) in tensors {
        let tensor = tensor.detach().f_to_device(Device::Cpu)?.f_contiguous()?;
        let width = if tensor.kind() == Kind::BFloat16 { 2 } else { 4 };
        let tensor = if width == 4 { tensor.f_to_kind(Kind::Float)? } else { tensor };
        let mut bytes = vec![0_u8; tensor.numel() * width];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        buffers.push((bytes, tensor.size(), width));
    }
    for ((name, _), (bytes, size, width)) in tensors.iter().zip(&buffers) {
        let shape = size.iter().map(|&n| n as usize).collect();
        let dtype = if *width == 2 { Dtype::BF16 } else { Dtype::F32 };
        views.push((name.as_str(), TensorView::new(dtype, shape, bytes)?));
    }
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let partial = path.with_extension("partial");
    safetensors::serialize_to_file(views, Some(metadata), &partial)
        .with_context(|| format!("writing {}", partial.display()))?;
    File::open(&partial).and_then(|file| file.sync_all()).with_context(|| format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, path).with_context(|| format!("writing {}", path.display()))
}

const AGAIN: &str = "it may be a Git LFS pointer or cut off: download it again";

fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(index).with_context(|| format!("reading {}", index.display()))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| UserError::new(format!("{} is not JSON: {e}", index.display())).hint(AGAIN))?;
    let map = value
        .get("weight_map")
        .and_then(serde_json::Value::as_object)
        .ok_or_else(|| UserError::new(format!("{} has no `weight_map`", index.display())).hint(AGAIN))?;
    let names: BTreeSet<String> = map.values().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    if let Some(bad) = names.iter().find(|n| n.contains('/') || n.contains("..")) {
        return Err(UserError::new(format!("{}: the shard name `{bad}` leaves the folder", index.display()))
            .hint("shards lie beside the index")
            .into());
    }
    Ok(names)
}

fn parse<'a>(path: &Path, map: &'a Mmap) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(map).map_err(|e| {
        UserError::new(format!("{} is not a whole safetensors file: {e}", path.display())).hint(AGAIN).into()
    })
}

fn torch_kind(name: &str, dtype: Dtype) -> Result<Kind> {
    Ok(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        other => {
            return Err(UserError::new(format!("the tensor `{name}` has dtype {other:?}"))
                .hint("f32, f16 and bf16 weights are read")
                .into());
        }
    })
}
