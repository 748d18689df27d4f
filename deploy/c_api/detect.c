// Detections of images by an exported SavedModel, through TensorFlow's C API alone.
//
//   detect SAVED_MODEL [FILE...]
//
// A FILE is an image (JPEG, PNG, WebP, BMP, GIF), or a NumPy array uint8 [B, h, w, 3] of RGB pixels (.npy). Without
// FILEs their names are read from standard input, one a line, and each is answered before the next is read. An answer
// is a JSON line for every image:
//   {"file": "a.jpg", "image": 0, "detections": [{"category_id": 18, "score": 0.98, "bbox": [x, y, width, height]}]}
// or, where TensorFlow refuses the request, {"file": "b.jpg", "error": "..."}; the next request is answered all the
// same. `image` counts the images of one array. Masks are the output detection_masks, fetched as the others are.
//
// Exit status: 0, or 1 where a request was refused, or 2 where the model does not load.
#define _POSIX_C_SOURCE 200809L  // getline
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "signature.h"

enum { NUM_DETECTIONS, BOXES, SCORES, CLASSES, NUM_OUTPUTS };
static const char *const OUTPUT_NAMES[NUM_OUTPUTS] = {"num_detections", "detection_boxes", "detection_scores",
                                                      "detection_classes"};

typedef struct {
  TF_Output input, outputs[NUM_OUTPUTS];
} Signature;

typedef struct {
  TF_Graph *graph;
  TF_Session *session;
  Signature images, files;
} Model;

static int find_signature(const TF_Buffer *meta_graph, TF_Graph *graph, const char *name, const char *input,
                          Signature *signature) {
  int found = find_tensor(meta_graph, graph, name, INPUTS, input, &signature->input);
  for (int i = 0; found && i < NUM_OUTPUTS; i++) {
    found = find_tensor(meta_graph, graph, name, OUTPUTS, OUTPUT_NAMES[i], &signature->outputs[i]);
  }
  if (!found) fprintf(stderr, "detect: the SavedModel has no signature %s with the outputs of a detector\n", name);
  return found;
}

static int load(const char *path, Model *model, TF_Status *status) {
  const char *const tags[] = {"serve"};
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Buffer *meta_graph = TF_NewBuffer();
  model->graph = TF_NewGraph();
  model->session = TF_LoadSessionFromSavedModel(options, NULL, path, tags, 1, model->graph, meta_graph, status);
  TF_DeleteSessionOptions(options);
  int loaded = TF_GetCode(status) == TF_OK;
  if (!loaded) fprintf(stderr, "detect: %s\n", TF_Message(status));
  loaded = loaded && find_signature(meta_graph, model->graph, "serving_default", "images", &model->images) &&
           find_signature(meta_graph, model->graph, "serving_bytes", "image_bytes", &model->files);
  TF_DeleteBuffer(meta_graph);
  return loaded;
}

static void print_string(const char *text) {
  putchar('"');
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') {
      printf("\\%c", c);
    } else if (c < 0x20) {
      printf("\\u%04x", c);
    } else {
      putchar(c);
    }
  }
  putchar('"');
}

static void print_error(const char *file, const char *message) {
  fputs("{\"file\": ", stdout);
  print_string(file);
  fputs(", \"error\": ", stdout);
  print_string(message);
  puts("}");
}

static void print_detections(const char *file, TF_Tensor *const outputs[NUM_OUTPUTS]) {
  const int32_t *counts = TF_TensorData(outputs[NUM_DETECTIONS]), *classes = TF_TensorData(outputs[CLASSES]);
  const float *boxes = TF_TensorData(outputs[BOXES]), *scores = TF_TensorData(outputs[SCORES]);
  int64_t images = TF_Dim(outputs[SCORES], 0), rows = TF_Dim(outputs[SCORES], 1);
  for (int64_t image = 0; image < images; image++) {
    fputs("{\"file\": ", stdout);
    print_string(file);
    printf(", \"image\": %lld, \"detections\": [", (long long)image);
    for (int64_t row = image * rows; row < image * rows + counts[image]; row++) {
      const float *box = boxes + 4 * row;  // y1, x1, y2, x2
      printf("%s{\"category_id\": %d, \"score\": %.9g, \"bbox\": [%.9g, %.9g, %.9g, %.9g]}",
             row == image * rows ? "" : ", ", classes[row], scores[row], box[1], box[0], box[3] - box[1],
             box[2] - box[0]);
    }
    puts("]}");
  }
}

static int answer(const Model *model, const char *file, TF_Status *status) {
  Request request = read_request(file);
  if (!request.tensor) {
    print_error(file, request.error);
    return 0;
  }
  const Signature *signature = request.is_array ? &model->images : &model->files;
  TF_Tensor *outputs[NUM_OUTPUTS] = {NULL};
  TF_SessionRun(model->session, NULL, &signature->input, &request.tensor, 1, signature->outputs, outputs, NUM_OUTPUTS,
                NULL, 0, NULL, status);
  int answered = TF_GetCode(status) == TF_OK;
  if (answered) {
    print_detections(file, outputs);
  } else {
    print_error(file, TF_Message(status));
  }
  for (int i = 0; i < NUM_OUTPUTS; i++) {
    if (outputs[i]) TF_DeleteTensor(outputs[i]);
  }
  delete_request(&request);
  return answered;
}

static int answer_lines(const Model *model, TF_Status *status) {
  char *line = NULL;
  size_t capacity = 0;
  int all = 1;
  while (getline(&line, &capacity, stdin) >= 0) {
    line[strcspn(line, "\n")] = 0;
    all &= answer(model, line, status);
    fflush(stdout);
  }
  free(line);
  return all;
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: %s SAVED_MODEL [FILE...]\n", arguments[0]);
    return 2;
  }
  Model model;
  TF_Status *status = TF_NewStatus();
  if (!load(arguments[1], &model, status)) return 2;
  int all = count > 2 ? 1 : answer_lines(&model, status);
  for (int i = 2; i < count; i++) all &= answer(&model, arguments[i], status);
  TF_CloseSession(model.session, status);
  TF_DeleteSession(model.session, status);
  TF_DeleteGraph(model.graph);
  TF_DeleteStatus(status);
  return !all;
}
