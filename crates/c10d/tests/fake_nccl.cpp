// A stand-in for NCCL among the threads of one process, in host memory, for tests of what is built
// upon it: names and arguments are those of nccl.h, streams are ignored.
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct UniqueId {
  char bytes[128];
};

std::mutex mutex;
std::condition_variable changed;

struct World {
  int size = 0, waiting = 0;
  long round = 0;
  std::vector<const void*> inputs;
  std::map<std::pair<int, int>, std::deque<std::vector<char>>> mail;
};

struct Comm {
  World* world;
  int rank;
};

std::map<std::string, World> worlds;

size_t bytes_of(int type) {
  const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  return type >= 0 && type < 10 ? sizes[type] : 0;
}

void meet(World& world) {
  std::unique_lock<std::mutex> lock(mutex);
  const long round = world.round;
  if (++world.waiting == world.size) {
    world.waiting = 0;
    ++world.round;
    changed.notify_all();
  } else {
    changed.wait(lock, [&] { return world.round != round; });
  }
}

// Every rank shows its input; `take` reads them all.
template <typename F>
int exchange(Comm* comm, const void* input, F take) {
  World& world = *comm->world;
  world.inputs[comm->rank] = input;
  meet(world);
  take(world.inputs);
  meet(world);
  return 0;
}

template <typename T>
std::vector<T> reduced(const std::vector<const void*>& inputs, size_t count, int op) {
  std::vector<T> result(static_cast<const T*>(inputs[0]), static_cast<const T*>(inputs[0]) + count);
  for (size_t rank = 1; rank < inputs.size(); ++rank) {
    const T* other = static_cast<const T*>(inputs[rank]);
    for (size_t i = 0; i < count; ++i) {
      result[i] = op == 0 ? result[i] + other[i] : (op == 2 && result[i] < other[i] ? other[i] : result[i]);
    }
  }
  return result;
}

// Sums and maxima of 32 and 64 bits alone.
template <typename F>
int with_sum(Comm* comm, const void* input, size_t count, int type, int op, F use) {
  std::vector<char> sum(count * bytes_of(type));
  exchange(comm, input, [&](auto& inputs) {
    if (type == 7) {
      std::memcpy(sum.data(), reduced<float>(inputs, count, op).data(), sum.size());
    } else if (type == 8) {
      std::memcpy(sum.data(), reduced<double>(inputs, count, op).data(), sum.size());
    }
  });
  use(sum);
  return type == 7 || type == 8 ? 0 : 4;
}

} // namespace

extern "C" {

int ncclGetVersion(int* version) {
  *version = 99999;
  return 0;
}
int ncclGetUniqueId(UniqueId* id) {
  static int next = 0;
  std::lock_guard<std::mutex> lock(mutex);
  std::memset(id, 0, sizeof(*id));
  const std::string name = "world " + std::to_string(next++);
  std::memcpy(id->bytes, name.data(), name.size());
  return 0;
}
int ncclCommInitRank(Comm** comm, int size, UniqueId id, int rank) {
  World* world;
  {
    std::lock_guard<std::mutex> lock(mutex);
    world = &worlds[std::string(id.bytes)];
    world->size = size;
    world->inputs.resize(size);
  }
  *comm = new Comm{world, rank};
  meet(*world);
  return 0;
}
int ncclCommAbort(Comm* comm) {
  delete comm;
  return 0;
}
int ncclCommGetAsyncError(Comm*, int* error) {
  *error = 0;
  return 0;
}
const char* ncclGetErrorString(int code) {
  return code == 4 ? "invalid argument" : "an error";
}
int ncclAllReduce(const void* from, void* to, size_t count, int type, int op, Comm* comm, void*) {
  return with_sum(comm, from, count, type, op,
                  [&](auto& sum) { std::memcpy(to, sum.data(), sum.size()); });
}
int ncclReduceScatter(const void* from, void* to, size_t count, int type, int op, Comm* comm,
                      void*) {
  return with_sum(comm, from, count * comm->world->size, type, op, [&](auto& sum) {
    const size_t part = count * bytes_of(type);
    std::memcpy(to, sum.data() + comm->rank * part, part);
  });
}
int ncclAllGather(const void* from, void* to, size_t count, int type, Comm* comm, void*) {
  const size_t part = count * bytes_of(type);
  return exchange(comm, from, [&](auto& inputs) {
    for (size_t rank = 0; rank < inputs.size(); ++rank) {
      std::memcpy(static_cast<char*>(to) + rank * part, inputs[rank], part);
    }
  });
}
int ncclBroadcast(const void* from, void* to, size_t count, int type, int root, Comm* comm, void*) {
  return exchange(comm, from, [&](auto& inputs) {
    if (comm->rank != root) {
      std::memcpy(to, inputs[root], count * bytes_of(type));
    }
  });
}
int ncclSend(const void* from, size_t count, int type, int peer, Comm* comm, void*) {
  const char* start = static_cast<const char*>(from);
  std::lock_guard<std::mutex> lock(mutex);
  comm->world->mail[{comm->rank, peer}].emplace_back(start, start + count * bytes_of(type));
  changed.notify_all();
  return 0;
}
int ncclRecv(void* to, size_t count, int type, int peer, Comm* comm, void*) {
  std::unique_lock<std::mutex> lock(mutex);
  auto& mail = comm->world->mail[{peer, comm->rank}];
  changed.wait(lock, [&] { return !mail.empty(); });
  const bool fits = mail.front().size() == count * bytes_of(type);
  std::memcpy(to, mail.front().data(), fits ? mail.front().size() : 0);
  mail.pop_front();
  return fits ? 0 : 4;
}
static thread_local int depth = 0;
int ncclGroupStart() {
  ++depth;
  return 0;
}
int ncclGroupEnd() {
  return --depth == 0 ? 0 : 5;
}

} // extern "C"
