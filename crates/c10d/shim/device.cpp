// Devices: memory, streams, events, and what the CUDA runtime tells, without CUDA's headers.
#include "common.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/core/impl/alloc_cpu.h>

#include <dlfcn.h>
#include <atomic>
#include <cstdint>
#include <string>

namespace {

using namespace lmplan;

constexpr auto kCuda = c10::DeviceType::CUDA;

c10::Device gpu(int index) {
  return c10::Device(kCuda, static_cast<c10::DeviceIndex>(index));
}

// A function of the CUDA runtime that libtorch is linked with.
template <typename F>
F runtime(const char* name) {
  auto* found = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  if (found == nullptr) {
    throw std::runtime_error(std::string("the CUDA runtime has no ") + name);
  }
  return found;
}

void check(int code, const char* what) {
  if (code != 0) {
    using Text = const char* (*)(int);
    throw std::runtime_error(std::string(what) + ": " + runtime<Text>("cudaGetErrorString")(code));
  }
}

// Counts what is handed out of host memory: the allocator of libtorch keeps no statistics there. The
// size stands before the data, which keeps its alignment.
class CountingAllocator final : public c10::Allocator {
 public:
  static constexpr size_t kHeader = 64;

  c10::DataPtr allocate(size_t size) override {
    if (size == 0) {
      return {nullptr, nullptr, &CountingAllocator::release, c10::Device(c10::DeviceType::CPU)};
    }
    auto* block = static_cast<char*>(c10::alloc_cpu(size + kHeader));
    *reinterpret_cast<size_t*>(block) = size;
    int64_t now = (current += static_cast<int64_t>(size));
    int64_t most = peak.load();
    while (now > most && !peak.compare_exchange_weak(most, now)) {
    }
    void* data = block + kHeader;
    return {data, data, &CountingAllocator::release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override {
    return &CountingAllocator::release;
  }

  void copy_data(void* target, const void* source, std::size_t count) const override {
    default_copy_data(target, source, count);
  }

  static std::atomic<int64_t> current;
  static std::atomic<int64_t> peak;

 private:
  static void release(void* data) {
    if (data == nullptr) {
      return;
    }
    char* block = static_cast<char*>(data) - kHeader;
    current -= static_cast<int64_t>(*reinterpret_cast<size_t*>(block));
    c10::free_cpu(block);
  }
};

std::atomic<int64_t> CountingAllocator::current{0};
std::atomic<int64_t> CountingAllocator::peak{0};

// A recorded piece of work that the device repeats without the host.
struct Graph {
  void* graph = nullptr;
  void* executable = nullptr;
  c10::Stream stream;

  explicit Graph(c10::Stream stream) : stream(stream) {}
  ~Graph() {
    using Destroy = int (*)(void*);
    if (executable != nullptr) {
      runtime<Destroy>("cudaGraphExecDestroy")(executable);
    }
    if (graph != nullptr) {
      runtime<Destroy>("cudaGraphDestroy")(graph);
    }
  }
};

} // namespace

extern "C" {

// The CUDA half of libtorch, which must be there before the first use of a device.
int lmplan_load_cuda() {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) {
    return 0;
  }
  const char* why = dlerror();
  last_error = why == nullptr ? "libtorch_cuda.so could not be loaded" : why;
  return -1;
}

// Multiprocessors, memory and PCI address of a GPU. `address` has room for `room` bytes.
int lmplan_gpu(int device, int* multiprocessors, uint64_t* memory, char* address, int room) {
  return guard([&] {
    using Attribute = int (*)(int*, int, int);
    using MemInfo = int (*)(size_t*, size_t*);
    using SetDevice = int (*)(int);
    using Address = int (*)(char*, int, int);
    constexpr int multiprocessor_count = 16;
    size_t free = 0, total = 0;
    check(runtime<SetDevice>("cudaSetDevice")(device), "the GPU can not be used");
    check(runtime<Attribute>("cudaDeviceGetAttribute")(multiprocessors, multiprocessor_count,
                                                       device),
          "the GPU's size");
    check(runtime<MemInfo>("cudaMemGetInfo")(&free, &total), "the GPU's memory");
    check(runtime<Address>("cudaDeviceGetPCIBusId")(address, room, device), "the GPU's address");
    *memory = total;
  });
}

int lmplan_count_cpu_memory() {
  return guard([&] {
    static CountingAllocator counting;
    // Once, however many threads ask for it: others may be allocating.
    static const bool counts = [] {
      c10::SetCPUAllocator(&counting, 100);
      return true;
    }();
    static_cast<void>(counts);
  });
}

// Bytes that tensors take now and took at most, and the most that the allocator held for them.
int lmplan_memory(int cuda, int device, int reset_peak, int64_t* current, int64_t* peak,
                  int64_t* reserved) {
  return guard([&] {
    if (!cuda) {
      *current = CountingAllocator::current;
      *peak = *reserved = CountingAllocator::peak;
      if (reset_peak) {
        CountingAllocator::peak = CountingAllocator::current.load();
      }
      return;
    }
    // There are no statistics before the first use of a device.
    at::globalContext().lazyInitDevice(kCuda);
    auto index = static_cast<c10::DeviceIndex>(device);
    auto* allocator = c10::getDeviceAllocator(kCuda);
    auto stats = allocator->getDeviceStats(index);
    constexpr size_t all = 0;
    *current = stats.allocated_bytes[all].current;
    *peak = stats.allocated_bytes[all].peak;
    *reserved = stats.reserved_bytes[all].peak;
    if (reset_peak) {
      allocator->resetPeakStats(index);
    }
  });
}

// Gives back what the allocator of a GPU holds and no tensor uses.
int lmplan_empty_cache() {
  return guard([&] { c10::getDeviceAllocator(kCuda)->emptyCache(); });
}

int lmplan_synchronize(int device) {
  return guard([&] {
    c10::impl::VirtualGuardImpl(kCuda).synchronizeDevice(static_cast<c10::DeviceIndex>(device));
  });
}

// Products of 32-bit numbers in the matrix units, rounded to 10 bits of mantissa.
int lmplan_allow_tf32(int allowed) {
  return guard([&] { at::globalContext().setAllowTF32CuBLAS(allowed != 0); });
}

void* lmplan_event() {
  return make<c10::Event>([&] { return c10::Event(kCuda, c10::EventFlag::BACKEND_DEFAULT); });
}

// Marks the point that the current stream of a GPU has been told to reach.
int lmplan_event_record(void* event, int device) {
  return guard([&] {
    const auto stream = c10::impl::VirtualGuardImpl(kCuda).getStream(gpu(device));
    static_cast<c10::Event*>(event)->record(stream);
  });
}

// Milliseconds from one event to another; both must have been reached.
int lmplan_event_elapsed(void* from, void* to, double* milliseconds) {
  return guard([&] {
    *milliseconds = static_cast<c10::Event*>(from)->elapsedTime(*static_cast<c10::Event*>(to));
  });
}

void lmplan_event_free(void* event) {
  guard([&] { delete static_cast<c10::Event*>(event); });
}

// An empty tensor in host memory that a GPU reaches directly, of the type of another one.
void* lmplan_pinned(const int64_t* sizes, int dimensions, void* like) {
  return make<at::Tensor>([&] {
    const auto options =
        at::TensorOptions().dtype(tensor(like).scalar_type()).pinned_memory(true);
    return at::empty(c10::IntArrayRef(sizes, dimensions), options);
  });
}

// Copies without waiting, where both sides allow it.
int lmplan_copy(void* to, void* from) {
  return guard([&] { tensor(to).copy_(tensor(from), true); });
}

// A graph of as many launches of a smallest kernel, which adds one to a tensor's elements.
void* lmplan_graph(void* data, int launches) {
  Graph* made = nullptr;
  guard([&] {
    using Begin = int (*)(void*, int);
    using End = int (*)(void*, void**);
    using Instantiate = int (*)(void**, void*, unsigned long long);
    constexpr int of_this_thread = 1;
    at::Tensor& x = tensor(data);
    auto begin = runtime<Begin>("cudaStreamBeginCapture");
    auto end = runtime<End>("cudaStreamEndCapture");
    auto instantiate = runtime<Instantiate>("cudaGraphInstantiateWithFlags");
    const c10::impl::VirtualGuardImpl impl(kCuda);
    auto graph = std::make_unique<Graph>(impl.getStreamFromGlobalPool(x.device(), false));
    // What a first launch loads can not be recorded.
    x.add_(1);
    impl.synchronizeDevice(x.device().index());
    c10::StreamGuard on_it(graph->stream);
    void* stream = graph->stream.native_handle();
    check(begin(stream, of_this_thread), "a graph can not be recorded");
    int failed = guard([&] {
      for (int launch = 0; launch < launches; ++launch) {
        x.add_(1);
      }
    });
    check(end(stream, &graph->graph), "a graph was not recorded");
    if (failed != 0) {
      throw std::runtime_error(last_error);
    }
    check(instantiate(&graph->executable, graph->graph, 0), "a graph can not be prepared");
    made = graph.release();
  });
  return made;
}

// Launches a graph; it runs behind the host, on its own stream.
int lmplan_graph_launch(void* graph_) {
  return guard([&] {
    using Launch = int (*)(void*, void*);
    auto* graph = static_cast<Graph*>(graph_);
    check(runtime<Launch>("cudaGraphLaunch")(graph->executable, graph->stream.native_handle()),
          "a graph can not be launched");
  });
}

void lmplan_graph_free(void* graph) {
  guard([&] { delete static_cast<Graph*>(graph); });
}

} // extern "C"
