// Finds the tensors of a SavedModel's signatures, without a protobuf library.
#ifndef SIGNATURE_H_
#define SIGNATURE_H_

#include "tensorflow/c/c_api.h"

enum { INPUTS = 1, OUTPUTS = 2 };  // the fields of SignatureDef

// Writes the graph's tensor that a signature calls `key` to `*tensor`. Returns 0 when there is none.
//   meta_graph  a serialized tensorflow.MetaGraphDef, as TF_LoadSessionFromSavedModel gives it
//   field       INPUTS or OUTPUTS
int find_tensor(const TF_Buffer *meta_graph, TF_Graph *graph, const char *signature, int field, const char *key,
                TF_Output *tensor);

#endif
