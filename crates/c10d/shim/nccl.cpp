// Ranks that communicate through NCCL, each with a GPU of its own. The library is the one that
// libtorch's CUDA half brings along, found at run time; of its interface, which is stable since
// version 2.7, what is used is declared here (nccl.h of version 2.28.9, BSD 3-clause).
#include "common.h"

#include <ATen/Functions.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include <dlfcn.h>
#include <sched.h>
#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace lmplan;
using Clock = std::chrono::steady_clock;

constexpr auto kCuda = c10::DeviceType::CUDA;

using Comm = void*;
using Stream = void*;
struct UniqueId {
  char bytes[128];
};
constexpr int kInProgress = 7;
constexpr int kSum = 0;
constexpr int kMaximum = 2;

// NCCL's entries.
struct Api {
  int (*version)(int*);
  int (*unique_id)(UniqueId*);
  int (*init)(Comm*, int, UniqueId, int);
  int (*abort)(Comm);
  int (*async_error)(Comm, int*);
  const char* (*text)(int);
  int (*all_reduce)(const void*, void*, size_t, int, int, Comm, Stream);
  int (*all_gather)(const void*, void*, size_t, int, Comm, Stream);
  int (*reduce_scatter)(const void*, void*, size_t, int, int, Comm, Stream);
  int (*broadcast)(const void*, void*, size_t, int, int, Comm, Stream);
  int (*send)(const void*, size_t, int, int, Comm, Stream);
  int (*receive)(void*, size_t, int, int, Comm, Stream);
  int (*group_start)();
  int (*group_end)();

  explicit Api(void* library) {
    auto find = [&](auto& entry, const char* name) {
      entry = reinterpret_cast<std::decay_t<decltype(entry)>>(dlsym(library, name));
      if (entry == nullptr) {
        throw std::runtime_error(std::string("NCCL has no ") + name);
      }
    };
    find(version, "ncclGetVersion");
    find(unique_id, "ncclGetUniqueId");
    find(init, "ncclCommInitRank");
    find(abort, "ncclCommAbort");
    find(async_error, "ncclCommGetAsyncError");
    find(text, "ncclGetErrorString");
    find(all_reduce, "ncclAllReduce");
    find(all_gather, "ncclAllGather");
    find(reduce_scatter, "ncclReduceScatter");
    find(broadcast, "ncclBroadcast");
    find(send, "ncclSend");
    find(receive, "ncclRecv");
    find(group_start, "ncclGroupStart");
    find(group_end, "ncclGroupEnd");
  }
};

// The library is loaded once; a path that is given later changes nothing.
const Api& api(const char* path = nullptr) {
  static const Api entries = [&] {
    void* library = dlopen(path == nullptr ? "libnccl.so.2" : path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* why = dlerror();
      throw std::runtime_error(why == nullptr ? "NCCL is not there" : why);
    }
    return Api(library);
  }();
  return entries;
}

void check(int code) {
  if (code != 0 && code != kInProgress) {
    throw std::runtime_error(std::string("NCCL: ") + api().text(code));
  }
}

int type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kChar: return 0;
    case at::kByte: return 1;
    case at::kBool: return 1;
    case at::kInt: return 2;
    case at::kLong: return 4;
    case at::kHalf: return 6;
    case at::kFloat: return 7;
    case at::kDouble: return 8;
    case at::kBFloat16: return 9;
    default: throw std::runtime_error("NCCL has no such type of elements");
  }
}

void same_size(const at::Tensor& output, int64_t elements) {
  if (output.numel() != elements) {
    throw std::runtime_error("sizes that do not match in a collective");
  }
}

// Collectives and arrivals stand in the current stream of the GPU, in order with its kernels, and
// the host goes on at once. What is sent leaves on a stream of its own. Without a GPU (`device` is
// negative, in tests) there are no streams.
class NcclGroup final : public Group {
 public:
  NcclGroup(const StorePtr& store, int rank, int size, int device, int lanes,
            std::chrono::milliseconds patience)
      : rank_(rank), size_(size), device_(device), patience_(patience) {
    use_device();
    // Messages of one communicator do not overtake each other: up and down the ranks, and by lane.
    const int count = 1 + 2 * lanes;
    for (int index = 0; index < count; ++index) {
      UniqueId id{};
      const std::string key = "nccl/" + std::to_string(index);
      if (rank == 0) {
        check(api().unique_id(&id));
        store->set(key, std::vector<uint8_t>(id.bytes, id.bytes + sizeof(id.bytes)));
      } else {
        const auto bytes = store->get(key);
        if (bytes.size() != sizeof(id.bytes)) {
          throw std::runtime_error("NCCL's name of a group can not be read");
        }
        std::memcpy(id.bytes, bytes.data(), sizeof(id.bytes));
      }
      Comm comm = nullptr;
      check(api().init(&comm, size, id, rank));
      comms_.push_back(comm);
      if (device_ >= 0) {
        side_.push_back(impl().getStreamFromGlobalPool(gpu(), true));
      }
    }
  }

  // What is still under way is given up: the others may be gone.
  ~NcclGroup() override {
    for (Comm comm : comms_) {
      api().abort(comm);
    }
  }

  void all_reduce(at::Tensor& data, bool maximum) override {
    use_device();
    void* at = data.mutable_data_ptr();
    check(api().all_reduce(at, at, data.numel(), type_of(data), maximum ? kMaximum : kSum,
                           comms_[0], current()));
  }

  void all_gather(at::Tensor& output, const at::Tensor& input) override {
    use_device();
    same_size(output, input.numel() * size_);
    check(api().all_gather(input.const_data_ptr(), output.mutable_data_ptr(), input.numel(),
                           type_of(input), comms_[0], current()));
  }

  void reduce_scatter(at::Tensor& output, const at::Tensor& input) override {
    use_device();
    same_size(input, output.numel() * size_);
    check(api().reduce_scatter(input.const_data_ptr(), output.mutable_data_ptr(), output.numel(),
                               type_of(input), kSum, comms_[0], current()));
  }

  void all_to_all(at::Tensor& output, const at::Tensor& input) override {
    use_device();
    same_size(output, input.numel());
    const size_t part = input.numel() / size_;
    const size_t bytes = part * input.element_size();
    const auto* from = static_cast<const char*>(input.const_data_ptr());
    auto* to = static_cast<char*>(output.mutable_data_ptr());
    check(api().group_start());
    for (int peer = 0; peer < size_; ++peer) {
      check(api().send(from + peer * bytes, part, type_of(input), peer, comms_[0], current()));
      check(api().receive(to + peer * bytes, part, type_of(input), peer, comms_[0], current()));
    }
    check(api().group_end());
  }

  void broadcast(at::Tensor& data, int root) override {
    use_device();
    void* at = data.mutable_data_ptr();
    check(api().broadcast(at, at, data.numel(), type_of(data), root, comms_[0], current()));
  }

  void barrier() override {
    const auto place = device_ >= 0 ? gpu() : c10::Device(c10::DeviceType::CPU);
    at::Tensor one = at::ones({1}, at::TensorOptions().dtype(at::kFloat).device(place));
    all_reduce(one, false);
    settle();
  }

  std::unique_ptr<Pending> send(const at::Tensor& data, int to, int, int lane) override {
    use_device();
    const size_t index = channel(to > rank_, lane);
    if (device_ < 0) {
      check(api().send(data.const_data_ptr(), data.numel(), type_of(data), to, comms_[index],
                       nullptr));
      return std::make_unique<Departure>();
    }
    const c10::Stream& side = side_[index];
    c10::Event ready(kCuda);
    ready.record(impl().getStream(gpu()));
    ready.block(side);
    check(api().send(data.const_data_ptr(), data.numel(), type_of(data), to, comms_[index],
                     side.native_handle()));
    auto departure = std::make_unique<Departure>();
    departure->left.emplace(kCuda);
    departure->left->record(side);
    departure->device = device_;
    return departure;
  }

  void receive(at::Tensor& data, int from, int, int lane) override {
    use_device();
    check(api().receive(data.mutable_data_ptr(), data.numel(), type_of(data), from,
                        comms_[channel(from < rank_, lane)], current()));
  }

  // The host waits for the GPU, no longer than it has patience.
  void settle() override {
    if (device_ < 0) {
      return;
    }
    c10::Event done(kCuda);
    done.record(impl().getStream(gpu()));
    const auto start = Clock::now();
    while (!done.query()) {
      const auto waited = Clock::now() - start;
      if (waited > patience_) {
        throw std::runtime_error("Timed out waiting for other ranks (NCCL)");
      }
      // The first milliseconds awake.
      if (waited < std::chrono::milliseconds(50)) {
        sched_yield();
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    for (Comm comm : comms_) {
      int error = 0;
      check(api().async_error(comm, &error));
      check(error);
    }
  }

 private:
  // The current stream waits until what was sent has left, before its memory is used again.
  struct Departure final : Pending {
    void wait() override {
      if (left.has_value()) {
        const auto place = c10::Device(kCuda, static_cast<c10::DeviceIndex>(device));
        left->block(impl().getStream(place));
      }
    }
    std::optional<c10::Event> left;
    int device = 0;
  };

  static c10::impl::VirtualGuardImpl impl() {
    return c10::impl::VirtualGuardImpl(kCuda);
  }

  c10::Device gpu() const {
    return c10::Device(kCuda, static_cast<c10::DeviceIndex>(device_));
  }

  void use_device() const {
    if (device_ >= 0) {
      impl().setDevice(gpu());
    }
  }

  Stream current() const {
    return device_ >= 0 ? impl().getStream(gpu()).native_handle() : nullptr;
  }

  size_t channel(bool up, int lane) const {
    const size_t index = 1 + 2 * static_cast<size_t>(lane) + (up ? 1 : 0);
    if (lane < 0 || index >= comms_.size()) {
      throw std::runtime_error("a message in a group that has no lane for it");
    }
    return index;
  }

  int rank_, size_, device_;
  std::chrono::milliseconds patience_;
  std::vector<Comm> comms_;
  std::vector<c10::Stream> side_;
};

} // namespace

extern "C" {

// Version of NCCL, as 22809 for 2.28.9. A library that is named is loaded in place of libtorch's.
int lmplan_nccl(const char* path, int* version) {
  return guard([&] { check(api(path).version(version)); });
}

void* lmplan_nccl_group(void* store, const char* name, int rank, int size, int device, int lanes,
                        int64_t timeout_ms) {
  Group* made = nullptr;
  guard([&] {
    StorePtr prefixed(
        c10::make_intrusive<c10d::PrefixStore>(std::string(name), *static_cast<StorePtr*>(store)));
    made = new NcclGroup(prefixed, rank, size, device, lanes,
                         std::chrono::milliseconds(timeout_ms));
  });
  return made;
}

} // extern "C"
