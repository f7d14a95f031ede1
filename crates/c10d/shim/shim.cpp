// A C interface to c10d, allocator statistics and events. Every entry catches what libtorch throws
// and answers null or -1; `lmplan_error` says why.
#define USE_C10D_GLOO 1
#include <ATen/ATen.h>
#include <ATen/Functions.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <dlfcn.h>
#include <sched.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

thread_local std::string last_error;

using StorePtr = c10::intrusive_ptr<c10d::Store>;
using GroupPtr = c10::intrusive_ptr<c10d::ProcessGroupGloo>;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;

template <typename F>
int guard(F f) {
  try {
    f();
    return 0;
  } catch (const c10::Error& e) {
    last_error = e.what_without_backtrace();
  } catch (const std::exception& e) {
    last_error = e.what();
  } catch (...) {
    last_error = "unknown error";
  }
  return -1;
}

template <typename T, typename F>
T* make(F f) {
  T* made = nullptr;
  guard([&] { made = new T(f()); });
  return made;
}

at::Tensor& tensor(void* pointer) {
  return *static_cast<at::Tensor*>(pointer);
}

// A tensor, or null where there is none.
std::optional<at::Tensor> optional_tensor(void* pointer) {
  return pointer == nullptr ? std::nullopt : std::optional<at::Tensor>(tensor(pointer));
}

void finish(const WorkPtr& work) {
  if (work && !work->wait()) {
    throw std::runtime_error("the collective did not complete");
  }
}

// Waits for a collective, at first awake: on a virtual machine it takes milliseconds to wake a core
// that has gone to sleep. Gloo's own threads are let through.
void finish_awake(const WorkPtr& work) {
  constexpr auto patience = std::chrono::milliseconds(50);
  const auto start = std::chrono::steady_clock::now();
  while (work && !work->isCompleted() && std::chrono::steady_clock::now() - start < patience) {
    sched_yield();
  }
  finish(work);
}

// u = m / (root sqrt(v) + least), after m and v have taken in the gradients.
template <typename T>
void lamb_pass(const at::Tensor& gradients, at::Tensor& first, at::Tensor& second,
               at::Tensor& update, T beta1, T beta2, T share1, T share2, T root, T least) {
  const T* __restrict g = gradients.const_data_ptr<T>();
  T* __restrict m = first.mutable_data_ptr<T>();
  T* __restrict v = second.mutable_data_ptr<T>();
  T* __restrict u = update.mutable_data_ptr<T>();
  const int64_t size = update.numel();
  for (int64_t i = 0; i < size; ++i) {
    m[i] = beta1 * m[i] + share1 * g[i];
    v[i] = beta2 * v[i] + share2 * g[i] * g[i];
    u[i] = m[i] / (root * std::sqrt(v[i]) + least);
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

} // namespace

extern "C" {

const char* lmplan_error() {
  return last_error.c_str();
}

void* lmplan_store_tcp(const char* host, uint16_t port, int server, int64_t timeout_ms) {
  return make<StorePtr>([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = server != 0;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    return StorePtr(c10::make_intrusive<c10d::TCPStore>(std::string(host), options));
  });
}

int lmplan_store_port(void* store) {
  auto* tcp = dynamic_cast<c10d::TCPStore*>(static_cast<StorePtr*>(store)->get());
  return tcp == nullptr ? -1 : tcp->getPort();
}

void* lmplan_store_file(const char* path, int ranks, int64_t timeout_ms) {
  return make<StorePtr>([&] {
    StorePtr store(c10::make_intrusive<c10d::FileStore>(std::string(path), ranks));
    store->setTimeout(std::chrono::milliseconds(timeout_ms));
    return store;
  });
}

int lmplan_store_set(void* store, const char* key, const char* data, uint64_t size) {
  return guard([&] {
    (*static_cast<StorePtr*>(store))->set(key, std::vector<uint8_t>(data, data + size));
  });
}

// 1 where the store has the key, 0 where it has not. What `data` points to lasts until the next call
// of this thread.
int lmplan_store_get(void* store, const char* key, const uint8_t** data, uint64_t* size) {
  static thread_local std::vector<uint8_t> value;
  bool there = false;
  const int failed = guard([&] {
    auto& keys = *static_cast<StorePtr*>(store);
    there = keys->check({key});
    if (there) {
      value = keys->get(key);
    }
  });
  *data = value.data();
  *size = value.size();
  return failed != 0 ? -1 : static_cast<int>(there);
}

void lmplan_store_free(void* store) {
  delete static_cast<StorePtr*>(store);
}

void* lmplan_group(void* store, const char* name, int rank, int size, const char* address,
                   int64_t timeout_ms) {
  return make<GroupPtr>([&] {
    StorePtr prefixed(
        c10::make_intrusive<c10d::PrefixStore>(std::string(name), *static_cast<StorePtr*>(store)));
    auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::milliseconds(timeout_ms));
    std::string host(address);
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    if (!host.empty()) {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(host));
    } else if (interface != nullptr && *interface != '\0') {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(interface));
    } else {
      options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    }
    options->threads = 1;
    return c10::make_intrusive<c10d::ProcessGroupGloo>(prefixed, rank, size, options);
  });
}

void lmplan_group_free(void* group) {
  guard([&] { delete static_cast<GroupPtr*>(group); });
}

int lmplan_all_reduce(void* group, void* data, int maximum) {
  return guard([&] {
    std::vector<at::Tensor> tensors{tensor(data)};
    c10d::AllreduceOptions options;
    options.reduceOp = maximum ? c10d::ReduceOp::MAX : c10d::ReduceOp::SUM;
    finish_awake((*static_cast<GroupPtr*>(group))->allreduce(tensors, options));
  });
}

int lmplan_all_gather(void* group, void* output, void* input) {
  return guard([&] {
    auto& process_group = *static_cast<GroupPtr*>(group);
    std::vector<std::vector<at::Tensor>> outputs{tensor(output).chunk(process_group->getSize())};
    std::vector<at::Tensor> inputs{tensor(input)};
    finish_awake(process_group->allgather(outputs, inputs));
  });
}

// Gloo's own is the sum of everything as well, and does not say when it is done.
int lmplan_reduce_scatter(void* group, void* output, void* input) {
  return guard([&] {
    auto& process_group = *static_cast<GroupPtr*>(group);
    std::vector<at::Tensor> tensors{tensor(input).clone()};
    finish_awake(process_group->allreduce(tensors, {}));
    const auto parts = tensors[0].chunk(process_group->getSize());
    tensor(output).copy_(parts[process_group->getRank()]);
  });
}

int lmplan_all_to_all(void* group, void* output, void* input) {
  return guard([&] {
    std::vector<int64_t> even;
    finish_awake((*static_cast<GroupPtr*>(group))
                     ->alltoall_base(tensor(output), tensor(input), even, even));
  });
}

int lmplan_broadcast(void* group, void* data, int root) {
  return guard([&] {
    std::vector<at::Tensor> tensors{tensor(data)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    finish_awake((*static_cast<GroupPtr*>(group))->broadcast(tensors, options));
  });
}

int lmplan_barrier(void* group) {
  return guard([&] { finish((*static_cast<GroupPtr*>(group))->barrier()); });
}

void* lmplan_send(void* group, void* data, int to, int tag) {
  return make<WorkPtr>([&] {
    std::vector<at::Tensor> tensors{tensor(data)};
    return (*static_cast<GroupPtr*>(group))->send(tensors, to, tag);
  });
}

int lmplan_receive(void* group, void* data, int from, int tag) {
  return guard([&] {
    std::vector<at::Tensor> tensors{tensor(data)};
    finish((*static_cast<GroupPtr*>(group))->recv(tensors, from, tag));
  });
}

int lmplan_work_wait(void* work) {
  return guard([&] { finish(*static_cast<WorkPtr*>(work)); });
}

void lmplan_work_free(void* work) {
  guard([&] { delete static_cast<WorkPtr*>(work); });
}

// Gradients of a layer norm: input, scale, shift.
int lmplan_layer_norm_backward(void* gradient, void* input, void* mean, void* rstd, void* weight,
                               void* bias, void** results) {
  return guard([&] {
    const at::Tensor& x = tensor(input);
    const std::optional<at::Tensor> shift = optional_tensor(bias);
    auto [dx, dw, db] = at::native_layer_norm_backward(
        tensor(gradient), x, {x.size(-1)}, tensor(mean), tensor(rstd), tensor(weight), shift,
        {true, true, bias != nullptr});
    results[0] = new at::Tensor(dx);
    results[1] = new at::Tensor(dw);
    results[2] = bias != nullptr ? new at::Tensor(db) : nullptr;
  });
}

// Fused attention, by the kernel that the device has for the type of the elements and for a bias
// of the scores, which may be null. Gives the output, the logarithm of the denominators, and the
// state of the random numbers.
int lmplan_attention(void* query, void* key, void* value, void* bias_, double dropout, int causal,
                     void** results) {
  return guard([&] {
    const at::Tensor &q = tensor(query), &k = tensor(key), &v = tensor(value);
    const std::optional<at::Tensor> bias = optional_tensor(bias_);
    at::Tensor out, lse, seed, offset;
    if (!q.is_cuda()) {
      std::tie(out, lse) =
          at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, dropout, causal != 0, bias);
    } else if (q.scalar_type() == at::kFloat || bias.has_value()) {
      std::tie(out, lse, seed, offset) = at::_scaled_dot_product_efficient_attention(
          q, k, v, bias, true, dropout, causal != 0);
    } else {
      auto all = at::_scaled_dot_product_flash_attention(q, k, v, dropout, causal != 0, false);
      out = std::get<0>(all);
      lse = std::get<1>(all);
      seed = std::get<6>(all);
      offset = std::get<7>(all);
    }
    results[0] = new at::Tensor(out);
    results[1] = new at::Tensor(lse);
    results[2] = seed.defined() ? new at::Tensor(seed) : nullptr;
    results[3] = offset.defined() ? new at::Tensor(offset) : nullptr;
  });
}

int lmplan_attention_backward(void* gradient, void* query, void* key, void* value, void* bias_,
                              void* output, void* denominators, void* seed_, void* offset_,
                              double dropout, int causal, void** results) {
  return guard([&] {
    const at::Tensor &q = tensor(query), &k = tensor(key), &v = tensor(value);
    const at::Tensor &g = tensor(gradient), &out = tensor(output), &lse = tensor(denominators);
    at::Tensor seed = seed_ == nullptr ? at::Tensor() : tensor(seed_);
    at::Tensor offset = offset_ == nullptr ? at::Tensor() : tensor(offset_);
    const std::optional<at::Tensor> bias = optional_tensor(bias_);
    at::Tensor dq, dk, dv, unused;
    if (!q.is_cuda()) {
      std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          g, q, k, v, out, lse, dropout, causal != 0, bias);
    } else if (q.scalar_type() == at::kFloat || bias.has_value()) {
      std::tie(dq, dk, dv, unused) = at::_scaled_dot_product_efficient_attention_backward(
          g, q, k, v, bias.value_or(at::Tensor()), out, lse, seed, offset, dropout,
          {true, true, true, false}, causal != 0);
    } else {
      std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_backward(
          g, q, k, v, out, lse, at::Tensor(), at::Tensor(), q.size(2), k.size(2), dropout,
          causal != 0, seed, offset);
    }
    results[0] = new at::Tensor(dq);
    results[1] = new at::Tensor(dk);
    results[2] = new at::Tensor(dv);
  });
}

// One step of Adam with decoupled weight decay, in one pass, in place. Gradients are divided by
// `scale` first.
int lmplan_adam(void* parameters, void* gradients, void* first, void* second, double step,
                double rate, double beta1, double beta2, double decay, double epsilon,
                double scale) {
  return guard([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> p{tensor(parameters)}, g{tensor(gradients)}, m{tensor(first)},
        v{tensor(second)}, none;
    auto number = [&](double value) {
      return at::full({}, value, at::TensorOptions().device(p[0].device()).dtype(at::kFloat));
    };
    std::vector<at::Tensor> steps{number(step)};
    std::optional<at::Tensor> divisor;
    if (scale != 1.0 && p[0].scalar_type() == at::kFloat) {
      divisor = number(scale);
    } else if (scale != 1.0) {
      g[0] = g[0] / scale;
    }
    at::_fused_adamw_(p, g, m, v, none, steps, rate, beta1, beta2, decay, epsilon, false, false,
                      divisor, std::nullopt);
  });
}

// The first stage of LAMB: moments updated in place, and the update that the second stage scales.
// Gradients are divided by `scale` first. One pass on the host, ATen's operators elsewhere.
int lmplan_lamb_update(void* gradients, void* first, void* second, void* update, double step,
                       double beta1, double beta2, double epsilon, double scale) {
  return guard([&] {
    at::NoGradGuard no_grad;
    at::Tensor g = tensor(gradients), m = tensor(first), v = tensor(second), u = tensor(update);
    const double correct1 = 1.0 - std::pow(beta1, step);
    const double correct2 = 1.0 - std::pow(beta2, step);
    const double share1 = (1.0 - beta1) / scale;
    const double share2 = (1.0 - beta2) / (scale * scale);
    const double root = correct1 / std::sqrt(correct2);
    const double least = epsilon * correct1;
    bool alike = true;
    for (const at::Tensor& each : {g, m, v, u}) {
      alike = alike && each.is_cpu() && each.is_contiguous() &&
              each.scalar_type() == u.scalar_type() && each.numel() == u.numel();
    }
    if (alike && u.scalar_type() == at::kFloat) {
      lamb_pass<float>(g, m, v, u, beta1, beta2, share1, share2, root, least);
    } else if (alike && u.scalar_type() == at::kDouble) {
      lamb_pass<double>(g, m, v, u, beta1, beta2, share1, share2, root, least);
    } else {
      m.mul_(beta1).add_(g, share1);
      v.mul_(beta2).addcmul_(g, g, share2);
      at::sqrt_out(u, v);
      u.mul_(root).add_(least);
      at::div_out(u, m, u);
    }
  });
}

// The CUDA half of libtorch, which must be there before the first use of a device.
int lmplan_load_cuda() {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) {
    return 0;
  }
  const char* why = dlerror();
  last_error = why == nullptr ? "libtorch_cuda.so could not be loaded" : why;
  return -1;
}

// Multiprocessors and memory of a GPU, from the CUDA runtime that libtorch is linked with.
int lmplan_gpu(int device, int* multiprocessors, uint64_t* memory) {
  return guard([&] {
    using Attribute = int (*)(int*, int, int);
    using MemInfo = int (*)(size_t*, size_t*);
    using SetDevice = int (*)(int);
    auto attribute = reinterpret_cast<Attribute>(dlsym(RTLD_DEFAULT, "cudaDeviceGetAttribute"));
    auto info = reinterpret_cast<MemInfo>(dlsym(RTLD_DEFAULT, "cudaMemGetInfo"));
    auto set = reinterpret_cast<SetDevice>(dlsym(RTLD_DEFAULT, "cudaSetDevice"));
    if (attribute == nullptr || info == nullptr || set == nullptr) {
      throw std::runtime_error("the CUDA runtime is not there");
    }
    constexpr int multiprocessor_count = 16;
    size_t free = 0, total = 0;
    if (set(device) != 0 || attribute(multiprocessors, multiprocessor_count, device) != 0 ||
        info(&free, &total) != 0) {
      throw std::runtime_error("the GPU does not answer");
    }
    *memory = total;
  });
}

int lmplan_count_cpu_memory() {
  return guard([&] {
    static CountingAllocator counting;
    c10::SetCPUAllocator(&counting, 100);
  });
}

int lmplan_memory(int cuda, int device, int reset_peak, int64_t* current, int64_t* peak) {
  return guard([&] {
    if (!cuda) {
      *current = CountingAllocator::current;
      *peak = CountingAllocator::peak;
      if (reset_peak) {
        CountingAllocator::peak = CountingAllocator::current.load();
      }
      return;
    }
    auto index = static_cast<c10::DeviceIndex>(device);
    auto* allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    auto stats = allocator->getDeviceStats(index);
    constexpr size_t all = 0;
    *current = stats.allocated_bytes[all].current;
    *peak = stats.allocated_bytes[all].peak;
    if (reset_peak) {
      allocator->resetPeakStats(index);
    }
  });
}

} // extern "C"
