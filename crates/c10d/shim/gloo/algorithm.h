// The wheel's ProcessGroupGloo.hpp includes gloo's headers, which the wheel lacks. It uses these
// types behind pointers only.
#pragma once
