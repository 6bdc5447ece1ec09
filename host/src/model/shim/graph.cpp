// CUDA graphs through libtorch's own class, for a binary that is not linked to CUDA.
//
// The class lives in libtorch_cuda.so, which is opened at run time or not at all, so that its members are looked up by their names there.
// Streams go by way of c10's registry of devices.

#include "guard.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <dlfcn.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

// at::cuda::MempoolId_t.
using Pool = std::pair<unsigned long long, unsigned long long>;

template <typename F>
F member(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) throw std::runtime_error(std::string("libtorch_cuda.so has no ") + name);
  return reinterpret_cast<F>(found);
}

struct Graph {
  // An at::cuda::CUDAGraph, of some 200 bytes.
  alignas(64) unsigned char object[2048];
  // The stream that was in use before recording; none once recording has ended.
  std::optional<c10::Stream> before;
};

c10::impl::VirtualGuardImpl cuda() { return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA); }

void restore(Graph* graph) {
  if (graph->before) {
    cuda().exchangeStream(*graph->before);
    graph->before.reset();
  }
}

}  // namespace

extern "C" {

// Begins to record what this thread does on the device, with the memory of `previous` where there is one.
int udasa_graph_begin(Graph* previous, Graph** out, char* error, size_t length) {
  return guarded(error, length, [&] {
    auto construct = member<void (*)(void*, bool)>("_ZN2at4cuda9CUDAGraphC1Eb");
    auto begin = member<void (*)(void*, Pool, int)>("_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
    auto pool = member<Pool (*)(void*)>("_ZN2at4cuda9CUDAGraph4poolEv");
    auto destroy = member<void (*)(void*)>("_ZN2at4cuda9CUDAGraphD1Ev");
    auto device = cuda().getDevice();
    cuda().synchronizeDevice(device.index());
    auto* graph = new Graph();
    try {
      construct(graph->object, false);
    } catch (...) {
      delete graph;
      throw;
    }
    try {
      // The default stream cannot be recorded.
      graph->before = cuda().exchangeStream(cuda().getStreamFromGlobalPool(device, false));
      const int thread_local_mode = 1;
      begin(graph->object, previous ? pool(previous->object) : Pool{0, 0}, thread_local_mode);
    } catch (...) {
      restore(graph);
      destroy(graph->object);
      delete graph;
      throw;
    }
    *out = graph;
  });
}

// Ends the recording.
int udasa_graph_end(Graph* graph, char* error, size_t length) {
  return guarded(error, length, [&] {
    auto end = member<void (*)(void*)>("_ZN2at4cuda9CUDAGraph11capture_endEv");
    try {
      end(graph->object);
    } catch (...) {
      restore(graph);
      throw;
    }
    restore(graph);
  });
}

// Does what was recorded, once more, on the stream in use.
int udasa_graph_replay(Graph* graph, char* error, size_t length) {
  return guarded(error, length, [&] { member<void (*)(void*)>("_ZN2at4cuda9CUDAGraph6replayEv")(graph->object); });
}

// Frees it.
void udasa_graph_free(Graph* graph) {
  char error[1];
  guarded(error, sizeof error, [&] { member<void (*)(void*)>("_ZN2at4cuda9CUDAGraphD1Ev")(graph->object); });
  delete graph;
}
}
