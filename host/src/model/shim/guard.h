// No exception leaves the C++ here: a function returns 0, or 1 with a message in `error`.

#pragma once

#include <cstdio>
#include <exception>
#include <new>

template <typename F>
int guarded(char* error, size_t length, F work) {
  try {
    work();
    return 0;
  } catch (const std::bad_alloc&) {
    std::snprintf(error, length, "not enough memory");
  } catch (const std::exception& e) {
    std::snprintf(error, length, "%s", e.what());
  } catch (...) {
    std::snprintf(error, length, "an unknown exception");
  }
  return 1;
}
