/** Registers tfjs-core's gradients, as a side effect; the published build carries them bundled. */
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import './grad/corrections';
