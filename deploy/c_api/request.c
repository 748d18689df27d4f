// Source: NumPy, "A simple file format for NumPy arrays"; TensorFlow, tf_tstring.h.
#include "request.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 8 };
static const char NPY_MAGIC[] = "\x93NUMPY";

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  size_t capacity = 1 << 16;
  char *content = malloc(capacity);
  *size = 0;
  while (content) {
    *size += fread(content + *size, 1, capacity - *size, file);
    if (*size < capacity) break;
    char *larger = realloc(content, capacity *= 2);
    if (!larger) free(content);
    content = larger;
  }
  if (content && ferror(file)) {  // a folder, for one
    free(content);
    content = NULL;
  }
  fclose(file);
  return content;
}

static TF_Tensor *string_tensor(const char *content, size_t size) {
  int64_t one = 1;
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, &one, 1, sizeof(TF_TString));
  TF_TString *string = TF_TensorData(tensor);
  TF_StringInit(string);
  TF_StringCopy(string, content, size);
  return tensor;
}

static int data_type(const char *description, TF_DataType *type) {
  static const struct {
    const char *name;
    TF_DataType type;
  } types[] = {{"'|u1'", TF_UINT8},  {"'|i1'", TF_INT8},  {"'|b1'", TF_BOOL},  {"'<u2'", TF_UINT16}, {"'<i4'", TF_INT32},
               {"'<i8'", TF_INT64}, {"'<f4'", TF_FLOAT}, {"'<f8'", TF_DOUBLE}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (!strncmp(description, types[i].name, strlen(types[i].name))) {
      *type = types[i].type;
      return 1;
    }
  }
  return 0;
}

// The value of `key` in the header, which is a Python dict: {'descr': '|u1', 'fortran_order': False, 'shape': (1, 2), }
static const char *header_value(const char *header, const char *key) {
  const char *found = strstr(header, key);
  if (!found) return "";
  found += strlen(key);
  return found + strspn(found, " ");
}

static int parse_shape(const char *text, int64_t *dims, int *rank, uint64_t *count) {
  *rank = 0;
  *count = 1;
  if (*text++ != '(') return 0;
  while (*(text += strspn(text, ", ")) != ')') {
    char *end;
    unsigned long long side = strtoull(text, &end, 10);
    if (end == text || *rank == MAX_RANK) return 0;
    if (side > INT32_MAX || (side && *count > INT64_MAX / 8 / side)) return 0;
    dims[(*rank)++] = (int64_t)side;
    *count *= side;
    text = end;
  }
  return 1;
}

static TF_Tensor *array_tensor(const char *content, size_t size, const char **error) {
  *error = "not a whole NumPy array of version 1.0";
  if (size < 10 || content[6] != 1) return NULL;
  size_t length = (uint8_t)content[8] | (size_t)(uint8_t)content[9] << 8;
  if (size - 10 < length) return NULL;
  char *header = calloc(length + 1, 1);
  if (!header) return NULL;
  memcpy(header, content + 10, length);
  TF_DataType type;
  int64_t dims[MAX_RANK];
  int rank;
  uint64_t count;
  TF_Tensor *tensor = NULL;
  if (!data_type(header_value(header, "'descr':"), &type)) {
    *error = "the array's type is not one of u1, i1, b1, u2, i4, i8, f4, f8";
  } else if (strncmp(header_value(header, "'fortran_order':"), "False", 5)) {
    *error = "the array is in Fortran's order";
  } else if (!parse_shape(header_value(header, "'shape':"), dims, &rank, &count)) {
    *error = "the array's shape is malformed or too large";
  } else if (count * TF_DataTypeSize(type) != size - 10 - length) {
    *error = "the array's data has not the length that its shape says";
  } else {
    tensor = TF_AllocateTensor(type, dims, rank, size - 10 - length);
    if (size - 10 - length) memcpy(TF_TensorData(tensor), content + 10 + length, size - 10 - length);
  }
  free(header);
  return tensor;
}

Request read_request(const char *path) {
  Request request = {NULL, 0, "cannot be read"};
  size_t size = 0;
  char *content = read_file(path, &size);
  if (!content) return request;
  request.is_array = size >= 6 && !memcmp(content, NPY_MAGIC, 6);
  request.tensor = request.is_array ? array_tensor(content, size, &request.error) : string_tensor(content, size);
  free(content);
  return request;
}

void delete_request(Request *request) {
  if (!request->tensor) return;
  if (TF_TensorType(request->tensor) == TF_STRING) TF_StringDealloc(TF_TensorData(request->tensor));
  TF_DeleteTensor(request->tensor);
  request->tensor = NULL;
}
