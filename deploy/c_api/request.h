// Turns a file into the tensor of a request.
#ifndef REQUEST_H_
#define REQUEST_H_

#include <stddef.h>

#include "tensorflow/c/c_api.h"

typedef struct {
  TF_Tensor *tensor;  // NULL where the file cannot be read as a request
  int is_array;       // of pixels, from a .npy file: for serving_default; else a file for serving_bytes
  const char *error;  // what is wrong where tensor is NULL
} Request;

// Reads a NumPy array (recognised by its first bytes) as it is, or any other file as the bytes of an image.
Request read_request(const char *path);

void delete_request(Request *request);

#endif
