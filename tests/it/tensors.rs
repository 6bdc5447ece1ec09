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

    /// The numbers of a tensor of 32-bit floats.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        let [start, end] = place(&self.header[name]);
        self.data[start..end].as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// The numbers of a tensor of 64-bit integers.
    pub fn integers(&self, name: &str) -> Vec<i64> {
        let [start, end] = place(&self.header[name]);
        self.data[start..end].as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
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

    /// Sets every number of a tensor of 32-bit floats.
    pub fn fill(&mut self, name: &str, value: f32) {
        let [start, end] = place(&self.header[name]);
        self.data[start..end].as_chunks_mut::<4>().0.fill(value.to_le_bytes());
    }

    /// Cuts a tensor of 32-bit floats to its first rows.
    pub fn keep_rows(&mut self, name: &str, rows: usize) {
        let mut tensor = self.header[name].clone();
        let [start, _] = place(&tensor);
        let row: u64 = self.shape(name)[1..].iter().product();
        let bytes = rows * usize::try_from(row).expect("it fits") * 4;
        let kept = self.data[start..start + bytes].to_vec();
        self.remove(name);
        // At the end, where it moves no other.
        tensor["shape"][0] = rows.into();
        tensor["data_offsets"] = serde_json::json!([self.data.len(), self.data.len() + bytes]);
        self.data.extend(kept);
        self.header.insert(name.to_owned(), tensor);
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
