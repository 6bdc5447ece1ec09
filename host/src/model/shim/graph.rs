//! CUDA graphs: a round of small operations, recorded once and launched as one.
//!
//! `unsafe` here: the four functions of `graph.cpp`.

use std::ffi::{c_char, c_int, c_void};

use anyhow::Result;

use super::told;

type Handle = *mut c_void;

unsafe extern "C" {
    fn udasa_graph_begin(previous: Handle, out: *mut Handle, error: *mut c_char, length: usize) -> c_int;
    fn udasa_graph_end(graph: Handle, error: *mut c_char, length: usize) -> c_int;
    fn udasa_graph_replay(graph: Handle, error: *mut c_char, length: usize) -> c_int;
    fn udasa_graph_free(graph: Handle);
}

/// Recorded work. What it reads and writes must outlive it and stay where it is.
pub struct Graph(Handle);

impl Graph {
    /// Records what `work` asks of the CUDA device, without doing it. The memory of a previous recording, which is not to be replayed any
    /// more, is taken over.
    ///
    /// An error where the device cannot record it: the work must neither wait for the device nor copy from the host.
    pub fn record<T>(previous: Option<&Graph>, work: impl FnOnce() -> T) -> Result<(Self, T)> {
        let mut handle: Handle = std::ptr::null_mut();
        let previous = previous.map_or(std::ptr::null_mut(), |graph| graph.0);
        // SAFETY: `previous` is null or a live graph, and `handle` is written where 0 is returned.
        told(|error, length| unsafe { udasa_graph_begin(previous, &raw mut handle, error, length) })?;
        let recording = Recording(Self(handle));
        let made = work();
        let graph = recording.end()?;
        Ok((graph, made))
    }

    /// Does the work.
    pub fn replay(&self) -> Result<()> {
        // SAFETY: a live graph, whose recording has ended.
        told(|error, length| unsafe { udasa_graph_replay(self.0, error, length) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody has it afterwards.
        unsafe { udasa_graph_free(self.0) };
    }
}

/// A graph that is being recorded. A panic of the work ends the recording too: the thread's stream must come back.
struct Recording(Graph);

impl Recording {
    fn end(self) -> Result<Graph> {
        // SAFETY: a live graph; ending it twice does no harm.
        told(|error, length| unsafe { udasa_graph_end(self.0.0, error, length) })?;
        let graph = Graph(self.0.0);
        std::mem::forget(self);
        Ok(graph)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: as above. An error was told before, or a panic is on its way.
        let _ = told(|error, length| unsafe { udasa_graph_end(self.0.0, error, length) });
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    /// On a machine with a GPU this records and replays; on any other it must say that CUDA is not there.
    #[test]
    fn what_was_recorded_is_done_again_on_what_lies_there_now() {
        let Device::Cuda(_) = crate::model::device::prepare(crate::config::DeviceChoice::Auto, 0).expect("a device")
        else {
            assert!(Graph::record(None, || ()).is_err_and(|e| e.to_string().contains("libtorch_cuda.so has no")));
            return;
        };
        let x = Tensor::from_slice(&[1_f32, 2.0]).to_device(Device::Cuda(0));
        let _ = &x * 2.0 + 1.0;
        let (graph, y) = Graph::record(None, || &x * 2.0 + 1.0).expect("records");
        let now = || {
            graph.replay().expect("replays");
            Vec::<f32>::try_from(&y).expect("numbers")
        };
        assert_eq!(now(), [3.0, 5.0]);
        x.shallow_clone().copy_(&Tensor::from_slice(&[5_f32, 0.5]));
        assert_eq!(now(), [11.0, 2.0]);
        let (next, z) = Graph::record(Some(&graph), || &x - 1.0).expect("records again");
        drop(graph);
        next.replay().expect("replays");
        assert_eq!(z.sum(Kind::Float).double_value(&[]), 3.5);
    }
}
