//! Just enough of the safetensors format to look into a file and to break one: eight bytes with the header's length,
//! the header as JSON, the tensors' bytes.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// A file taken apart.
pub struct Tensors {
    /// Name to dtype, shape and place.
    pub header: Map<String, Value>,
    data: Vec<u8>,
}

impl Tensors {
    /// Reads a file.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (length, rest) = bytes.split_first_chunk::<8>().expect("a header's length");
        let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("a small header"));
        Self { header: serde_json::from_slice(header).expect("the header is JSON"), data: data.to_vec() }
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.header.keys().map(String::as_str).filter(|name| *name != "__metadata__").collect();
        names.sort_unstable();
        names
    }

    /// A tensor's sizes.
    pub fn shape(&self, name: &str) -> Vec<u64> {
        self.header[name]["shape"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    }

    /// Removes a tensor and its bytes: the format allows no holes.
    pub fn remove(&mut self, name: &str) {
        let gone = self.header.remove(name).expect("the tensor is there");
        let [start, end] = place(&gone);
        self.data.drain(start..end);
        for (_, tensor) in self.header.iter_mut().filter(|(name, _)| *name != "__metadata__") {
            let moved = place(tensor).map(|at| if at >= end { at - (end - start) } else { at });
            tensor["data_offsets"] = serde_json::json!(moved);
        }
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        let header = serde_json::to_vec(&self.header).expect("a header is JSON");
        let length = (header.len() as u64).to_le_bytes();
        fs::write(path, [&length[..], &header, &self.data].concat()).expect("the file can be written");
    }
}

fn place(tensor: &Value) -> [usize; 2] {
    let offsets = tensor["data_offsets"].as_array().expect("a tensor has a place");
    [0, 1].map(|i| usize::try_from(offsets[i].as_u64().expect("a place is a number")).expect("it fits"))
}
