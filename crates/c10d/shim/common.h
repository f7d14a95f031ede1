// What the parts of the shim share.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <c10/util/intrusive_ptr.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <exception>
#include <memory>
#include <string>

namespace lmplan {

extern thread_local std::string last_error;

using StorePtr = c10::intrusive_ptr<c10d::Store>;

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

inline at::Tensor& tensor(void* pointer) {
  return *static_cast<at::Tensor*>(pointer);
}

// A message on its way, or its arrival.
struct Pending {
  virtual ~Pending() = default;
  virtual void wait() = 0;
};

// Ranks that communicate. Tensors are contiguous.
struct Group {
  virtual ~Group() = default;
  virtual void all_reduce(at::Tensor& data, bool maximum) = 0;
  virtual void all_gather(at::Tensor& output, const at::Tensor& input) = 0;
  virtual void reduce_scatter(at::Tensor& output, const at::Tensor& input) = 0;
  virtual void all_to_all(at::Tensor& output, const at::Tensor& input) = 0;
  virtual void broadcast(at::Tensor& data, int root) = 0;
  virtual void barrier() = 0;
  // `lane` tells messages that overtake each other apart: those of forward and of backward passes.
  virtual std::unique_ptr<Pending> send(const at::Tensor& data, int to, int tag, int lane) = 0;
  virtual void receive(at::Tensor& data, int from, int tag, int lane) = 0;
  // Waits until all that was begun is done.
  virtual void settle() = 0;
};

} // namespace lmplan
