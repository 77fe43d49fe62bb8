/** The same suite with every kill of its series. */
import './checkpoint-folder.test';
