// A C interface to c10d and to operators. Every entry catches what libtorch throws and answers null
// or -1; `lmplan_error` says why.
#define USE_C10D_GLOO 1
#include "common.h"

#include <ATen/ATen.h>
#include <ATen/Functions.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <sched.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

thread_local std::string lmplan::last_error;

namespace {

using namespace lmplan;

using GroupPtr = c10::intrusive_ptr<c10d::ProcessGroupGloo>;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;

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

// Begins what a group is told to do, one thread of this process at a time: libtorch notes each of it
// in one map of the process, by group, before it takes that map's lock (FlightRecorderDetail.hpp,
// recordWithResetEnabled), which is lost on ranks that are threads.
template <typename F>
WorkPtr begun(F f) {
  static std::mutex one_at_a_time;
  std::lock_guard<std::mutex> lock(one_at_a_time);
  return f();
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

// Ranks that communicate through Gloo, in host memory.
class GlooGroup final : public Group {
 public:
  explicit GlooGroup(GroupPtr group) : group_(std::move(group)) {}

  void all_reduce(at::Tensor& data, bool maximum) override {
    std::vector<at::Tensor> tensors{data};
    c10d::AllreduceOptions options;
    options.reduceOp = maximum ? c10d::ReduceOp::MAX : c10d::ReduceOp::SUM;
    finish_awake(begun([&] { return group_->allreduce(tensors, options); }));
  }

  void all_gather(at::Tensor& output, const at::Tensor& input) override {
    std::vector<std::vector<at::Tensor>> outputs{output.chunk(group_->getSize())};
    std::vector<at::Tensor> inputs{input};
    finish_awake(begun([&] { return group_->allgather(outputs, inputs); }));
  }

  // Gloo's own is the sum of everything as well, and does not say when it is done.
  void reduce_scatter(at::Tensor& output, const at::Tensor& input) override {
    std::vector<at::Tensor> tensors{input.clone()};
    finish_awake(begun([&] { return group_->allreduce(tensors, {}); }));
    output.copy_(tensors[0].chunk(group_->getSize())[group_->getRank()]);
  }

  void all_to_all(at::Tensor& output, const at::Tensor& input) override {
    std::vector<int64_t> even;
    at::Tensor from = input;
    finish_awake(begun([&] { return group_->alltoall_base(output, from, even, even); }));
  }

  void broadcast(at::Tensor& data, int root) override {
    std::vector<at::Tensor> tensors{data};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    finish_awake(begun([&] { return group_->broadcast(tensors, options); }));
  }

  void barrier() override {
    finish(begun([&] { return group_->barrier(); }));
  }

  std::unique_ptr<Pending> send(const at::Tensor& data, int to, int tag, int) override {
    std::vector<at::Tensor> tensors{data};
    return std::make_unique<GlooSend>(begun([&] { return group_->send(tensors, to, tag); }));
  }

  void receive(at::Tensor& data, int from, int tag, int) override {
    std::vector<at::Tensor> tensors{data};
    finish(begun([&] { return group_->recv(tensors, from, tag); }));
  }

  void settle() override {}

 private:
  struct GlooSend final : Pending {
    explicit GlooSend(WorkPtr work) : work(std::move(work)) {}
    void wait() override {
      finish(work);
    }
    WorkPtr work;
  };

  GroupPtr group_;
};

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
  Group* made = nullptr;
  guard([&] {
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
    made = new GlooGroup(
        c10::make_intrusive<c10d::ProcessGroupGloo>(prefixed, rank, size, options));
  });
  return made;
}

void lmplan_group_free(void* group) {
  guard([&] { delete static_cast<Group*>(group); });
}

int lmplan_all_reduce(void* group, void* data, int maximum) {
  return guard([&] { static_cast<Group*>(group)->all_reduce(tensor(data), maximum != 0); });
}

int lmplan_all_gather(void* group, void* output, void* input) {
  return guard([&] { static_cast<Group*>(group)->all_gather(tensor(output), tensor(input)); });
}

int lmplan_reduce_scatter(void* group, void* output, void* input) {
  return guard([&] { static_cast<Group*>(group)->reduce_scatter(tensor(output), tensor(input)); });
}

int lmplan_all_to_all(void* group, void* output, void* input) {
  return guard([&] { static_cast<Group*>(group)->all_to_all(tensor(output), tensor(input)); });
}

int lmplan_broadcast(void* group, void* data, int root) {
  return guard([&] { static_cast<Group*>(group)->broadcast(tensor(data), root); });
}

int lmplan_barrier(void* group) {
  return guard([&] { static_cast<Group*>(group)->barrier(); });
}

int lmplan_settle(void* group) {
  return guard([&] { static_cast<Group*>(group)->settle(); });
}

void* lmplan_send(void* group, void* data, int to, int tag, int lane) {
  Pending* made = nullptr;
  guard([&] { made = static_cast<Group*>(group)->send(tensor(data), to, tag, lane).release(); });
  return made;
}

int lmplan_receive(void* group, void* data, int from, int tag, int lane) {
  return guard([&] { static_cast<Group*>(group)->receive(tensor(data), from, tag, lane); });
}

int lmplan_pending_wait(void* pending) {
  return guard([&] { static_cast<Pending*>(pending)->wait(); });
}

void lmplan_pending_free(void* pending) {
  guard([&] { delete static_cast<Pending*>(pending); });
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

// The kernel of fused attention that a device has: flash attention takes 16-bit elements, widths of
// heads that are multiples of 8 up to 256, and no bias; memory-efficient attention the rest.
enum class Fused { host, flash, efficient };

static Fused kernel_for(const at::Tensor& query, bool has_bias) {
  if (!query.is_cuda()) {
    return Fused::host;
  }
  const bool narrow = query.scalar_type() == at::kHalf || query.scalar_type() == at::kBFloat16;
  const int64_t width = query.size(3);
  return narrow && !has_bias && width % 8 == 0 && width <= 256 ? Fused::flash : Fused::efficient;
}

// Rows of a sequence one after the other: memory-efficient attention takes its output and that
// output's gradient to lie so.
static at::Tensor packed(const at::Tensor& heads) {
  return heads.transpose(1, 2).contiguous().transpose(1, 2);
}

// Fused attention with a bias of the scores, which may be null. Gives the output, the logarithm of
// the denominators, and the state of the random numbers, where the device has one.
int lmplan_attention(void* query, void* key, void* value, void* bias_, double dropout, int causal,
                     void** results) {
  return guard([&] {
    const at::Tensor &q = tensor(query), &k = tensor(key), &v = tensor(value);
    const std::optional<at::Tensor> bias = optional_tensor(bias_);
    at::Tensor out, lse, seed, offset;
    switch (kernel_for(q, bias.has_value())) {
      case Fused::host:
        std::tie(out, lse) =
            at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, dropout, causal != 0, bias);
        break;
      case Fused::flash: {
        auto all = at::_scaled_dot_product_flash_attention(q, k, v, dropout, causal != 0, false);
        out = std::get<0>(all);
        lse = std::get<1>(all);
        seed = std::get<6>(all);
        offset = std::get<7>(all);
        break;
      }
      case Fused::efficient:
        std::tie(out, lse, seed, offset) = at::_scaled_dot_product_efficient_attention(
            q, k, v, bias, true, dropout, causal != 0);
        break;
    }
    // Both or none, so that they are not taken for each other.
    if (seed.defined() != offset.defined()) {
      at::Tensor& missing = seed.defined() ? offset : seed;
      missing = at::empty({}, at::kLong);
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
    switch (kernel_for(q, bias.has_value())) {
      case Fused::host:
        std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
            g, q, k, v, out, lse, dropout, causal != 0, bias);
        break;
      case Fused::flash:
        std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_backward(
            g, q, k, v, out, lse, at::Tensor(), at::Tensor(), q.size(2), k.size(2), dropout,
            causal != 0, seed, offset);
        break;
      case Fused::efficient:
        std::tie(dq, dk, dv, unused) = at::_scaled_dot_product_efficient_attention_backward(
            packed(g), q, k, v, bias.value_or(at::Tensor()), packed(out), lse, seed, offset,
            dropout, {true, true, true, false}, causal != 0);
        break;
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

} // extern "C"
