// Source: protobuf's wire format; MetaGraphDef, SignatureDef and TensorInfo in
// tensorflow/core/protobuf/meta_graph.proto.
#include "signature.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const uint8_t *at, *end;
} Bytes;

enum { VARINT = 0, FIXED_64 = 1, BYTES = 2, FIXED_32 = 5 };

static int read_varint(Bytes *message, uint64_t *value) {
  *value = 0;
  for (int shift = 0; shift < 64 && message->at < message->end; shift += 7) {
    uint8_t byte = *message->at++;
    *value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return 1;
  }
  return 0;
}

// Reads the next field that is a string or a message. Returns 0 at the end, or where the message is not one.
static int next_field(Bytes *message, int *number, Bytes *value) {
  uint64_t tag, length;
  while (read_varint(message, &tag)) {
    size_t left;
    switch (tag & 7) {
      case VARINT:
        if (!read_varint(message, &length)) return 0;
        continue;
      case FIXED_64:
        length = 8;
        break;
      case FIXED_32:
        length = 4;
        break;
      case BYTES:
        if (!read_varint(message, &length)) return 0;
        break;
      default:
        return 0;
    }
    left = (size_t)(message->end - message->at);
    if (length > left) return 0;
    *number = (int)(tag >> 3);
    *value = (Bytes){message->at, message->at + length};
    message->at += length;
    if ((tag & 7) == BYTES) return 1;
  }
  return 0;
}

static int find_field(Bytes message, int wanted, Bytes *value) {
  int number;
  while (next_field(&message, &number, value)) {
    if (number == wanted) return 1;
  }
  return 0;
}

// The value under `key` in the map that is field `wanted` of a message: entries are messages {1: key, 2: value}.
static int find_entry(Bytes message, int wanted, const char *key, Bytes *value) {
  int number;
  Bytes entry, name;
  while (next_field(&message, &number, &entry)) {
    if (number != wanted || !find_field(entry, 1, &name)) continue;
    size_t length = (size_t)(name.end - name.at);
    if (length == strlen(key) && !memcmp(name.at, key, length)) return find_field(entry, 2, value);
  }
  return 0;
}

int find_tensor(const TF_Buffer *meta_graph, TF_Graph *graph, const char *signature, int field, const char *key,
                TF_Output *tensor) {
  const int signature_def = 5, tensor_name = 1;
  Bytes value = {meta_graph->data, (const uint8_t *)meta_graph->data + meta_graph->length};
  char name[512];
  if (!find_entry(value, signature_def, signature, &value) || !find_entry(value, field, key, &value) ||
      !find_field(value, tensor_name, &value)) {
    return 0;
  }
  size_t length = (size_t)(value.end - value.at);
  if (length >= sizeof name) return 0;
  memcpy(name, value.at, length);
  name[length] = 0;
  char *colon = strrchr(name, ':');  // "operation:output"
  if (!colon) return 0;
  *colon = 0;
  tensor->oper = TF_GraphOperationByName(graph, name);
  tensor->index = atoi(colon + 1);
  return tensor->oper != NULL;
}
